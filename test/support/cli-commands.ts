/**
 * The module that the tests of the command line give to `inbox worker`.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';

/** A key of Postgres's advisory locks: a test that holds it keeps {@link held} in its attempt. */
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

/** Modules export other things, too. */
export const somethingElse = { type: 'no command' };
