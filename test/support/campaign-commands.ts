/**
 * The command that the crash test's campaign replays.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';

export const mended = defineCommand({
  type: 'Mended',
  schema: z.object({}),
  retry: { maximumAttempts: 20, initialInterval: '100ms' },
  async handle({ tx, messageId }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
  },
});
