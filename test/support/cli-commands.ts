/**
 * The command module that CLI tests pass to `inbox worker`.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';

/** The key of a Postgres advisory lock. While a test holds the lock, the attempt of {@link held} waits. */
export const HELD_LOCK = 4_711;

export const held = defineCommand({
  type: 'Held',
  timeout: '40s',
  schema: z.object({}),
  async handle({ tx }) {
    await tx.query('select pg_advisory_xact_lock($1)', [HELD_LOCK]);
    return 'was let go';
  },
});

export const quick = defineCommand({ type: 'Quick', schema: z.object({}), handle: () => 'done' });

/** Command modules may export other values, too. */
export const somethingElse = { type: 'no command' };
