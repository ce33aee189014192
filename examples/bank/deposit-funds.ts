import { z } from 'zod';
import { defineCommand } from 'temporal-inbox';
import { deposit } from './account.ts';
import { record } from './ledger.ts';
import { accountId, amountCents, retry } from './payload.ts';
import { lockAccounts } from './read-model.ts';

/** Adds money from outside the bank. An operator sends it to fix `InsufficientFunds` before replaying the dead letter. */
export const depositFunds = defineCommand({
  type: 'DepositFunds',
  schema: z.object({ accountId, amountCents }),
  retry,
  async handle({ messageId, payload, tx, emit }) {
    const accountOf = await lockAccounts(tx, [payload.accountId]);
    const account = accountOf(payload.accountId);
    await record(tx, messageId, [{ account, events: deposit(payload.amountCents) }]);
    emit({
      aggregateType: 'account',
      aggregateId: account.id,
      type: 'FundsDeposited',
      payload: { amountCents: payload.amountCents },
    });
    return { accountId: account.id, amountCents: payload.amountCents };
  },
});
