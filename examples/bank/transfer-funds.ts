import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';
import { receiveTransfer, sendTransfer } from './account.ts';
import { checkForFraud } from './fraud-check.ts';
import { record } from './ledger.ts';
import { accountId, amountCents, retry } from './payload.ts';
import { lockAccounts } from './read-model.ts';

/**
 * Moves money from one account to another.
 *
 * Half the customers of a shop may pay it at once, so its account is locked by every transfer. What keeps them from
 * getting in each other's way: the slow part, HTTP, comes before the locks; after them there are only two statements
 * and the commit; and whoever still waits longer than 250 ms gives way and is tried again.
 */
export const transferFunds = defineCommand({
  type: 'TransferFunds',
  schema: z
    .object({ from: accountId, to: accountId, amountCents })
    .refine(({ from, to }) => from !== to, { path: ['to'], message: 'is the account that pays' }),
  retry,
  async handle({ messageId, payload, tx, emit, signal, log }) {
    await checkForFraud({ transferId: messageId, ...payload }, { signal, log });
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
