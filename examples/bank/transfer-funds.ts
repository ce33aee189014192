import { z } from 'zod';
import { defineCommand } from 'temporal-inbox';
import { receiveTransfer, sendTransfer } from './account.ts';
import { checkForFraud } from './fraud-check.ts';
import { record } from './ledger.ts';
import { accountId, amountCents, retry } from './payload.ts';
import { lockAccounts } from './read-model.ts';

/**
 * Moves money from one account to another.
 *
 * Many customers may pay the shop at the same time, and every payment locks the shop's account. Three measures keep the
 * lock short: the slow HTTP call runs before the transaction begins, only two statements and the commit run while the
 * locks are held, and a transfer that waits longer than 250 ms for a lock fails and is retried.
 */
export const transferFunds = defineCommand({
  type: 'TransferFunds',
  schema: z
    .object({ from: accountId, to: accountId, amountCents })
    .refine(({ from, to }) => from !== to, { path: ['to'], message: 'must differ from the paying account' }),
  retry,
  prepare: ({ messageId, payload, signal, log }) =>
    checkForFraud({ transferId: messageId, ...payload }, { signal, log }),
  async handle({ messageId, payload, tx, emit }) {
    const accountOf = await lockAccounts(tx, [payload.from, payload.to]);
    const from = accountOf(payload.from);
    const to = accountOf(payload.to);
    await record(tx, messageId, [
      { account: from, events: sendTransfer(from, to.id, payload.amountCents) },
      { account: to, events: receiveTransfer(from.id, payload.amountCents) },
    ]);
    emit({ aggregateType: 'account', aggregateId: from.id, type: 'FundsTransferred', payload });
    return payload;
  },
});
