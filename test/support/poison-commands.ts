/**
 * Commands that end their worker's process, or would hold it for ever, and one that does no harm.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';

const schema = z.object({});
const retry = { maximumAttempts: 2, initialInterval: '100ms' } as const;

export const exits = defineCommand({ type: 'Exits', schema, retry, handle: () => process.exit(3) });

/** 8 MB at a time, in arrays: they are on V8's heap, which a Buffer's bytes are not. */
export const eatsMemory = defineCommand({
  type: 'EatsMemory',
  schema,
  retry,
  handle() {
    const eaten: number[][] = [];
    for (;;) eaten.push(Array.from<number>({ length: 1_000_000 }).fill(0.5));
  },
});

export const neverYields = defineCommand({
  type: 'NeverYields',
  schema,
  retry,
  handle() {
    for (;;);
  },
});

/** Loses an attempt whenever a neighbour ends the process that they share. */
export const harmless = defineCommand({
  type: 'Harmless',
  schema,
  retry: { maximumAttempts: 20, initialInterval: '100ms', maximumInterval: '1s' },
  async handle({ tx, messageId }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    await tx.query('select pg_sleep(0.3)');
    return 'done';
  },
});

/** Long enough to be stopped in. */
export const slow = defineCommand({
  type: 'Slow',
  schema,
  async handle({ tx }) {
    await tx.query('select pg_sleep(1.5)');
    return 'done';
  },
});
