/**
 * A command that emits two events, for workers with `--publish`.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';

export const deposit = defineCommand({
  type: 'Deposit',
  schema: z.object({ account: z.string(), amountCents: z.int() }),
  async handle({ payload, emit }) {
    const about = { aggregateType: 'account', aggregateId: payload.account };
    emit({ ...about, type: 'Deposited', payload });
    emit({ ...about, type: 'Noted', payload: null });
    return 'deposited';
  },
});
