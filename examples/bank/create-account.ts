import { z } from 'zod';
import { defineCommand } from 'temporal-inbox';
import { open } from './account.ts';
import { recordOpening } from './ledger.ts';
import { accountId, retry } from './payload.ts';
import { findAccount } from './read-model.ts';

/**
 * Opens an account. A second command for the same account becomes a dead letter. If two commands run at the same time,
 * the event store's primary key rejects the slower one; its retry then finds the account.
 */
export const createAccount = defineCommand({
  type: 'CreateAccount',
  schema: z.object({
    accountId,
    owner: z.string().min(1).max(200),
    openingBalanceCents: z.int().nonnegative().default(0),
  }),
  retry,
  async handle({ messageId, payload, tx, emit }) {
    const { accountId: id, owner, openingBalanceCents } = payload;
    const events = open(await findAccount(tx, id), { id, owner, openingBalanceCents });
    await recordOpening(tx, messageId, id, events);
    emit({
      aggregateType: 'account',
      aggregateId: id,
      type: 'AccountOpened',
      payload: { owner, openingBalanceCents },
    });
    return { accountId: id };
  },
});
