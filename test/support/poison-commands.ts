/**
 * Commands that end their worker's process or block it forever, and commands that do no harm.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';

const schema = z.object({});
const retry = { maximumAttempts: 2, initialInterval: '100ms' } as const;

export const exits = defineCommand({ type: 'Exits', schema, retry, handle: () => process.exit(3) });

/** Allocates 8 MB at a time, in arrays: unlike the bytes of a Buffer, they are on V8's heap. */
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

/** Loses an attempt whenever another command ends the process that they share. */
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

/** Takes long enough for a test to stop the worker during the attempt. */
export const slow = defineCommand({
  type: 'Slow',
  schema,
  async handle({ tx }) {
    await tx.query('select pg_sleep(1.5)');
    return 'done';
  },
});
