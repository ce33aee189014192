/**
 * Writes a decision: its events, and the read model that results from them.
 *
 * @module
 */
import { type Account, type AccountEvent, fold } from './account.ts';
import { append } from './event-store.ts';
import { insertAccount, updateAccounts } from './read-model.ts';
import type { Queryable } from './postgres.ts';

export async function recordOpening(
  tx: Queryable,
  messageId: string,
  id: string,
  events: readonly AccountEvent[],
): Promise<void> {
  await append(tx, messageId, [{ streamId: id, expectedVersion: 0, events }]);
  await insertAccount(tx, after(id, null, events));
}

export interface Decision {
  account: Account;
  events: readonly AccountEvent[];
}

export async function record(
  tx: Queryable,
  messageId: string,
  decisions: readonly Decision[],
): Promise<void> {
  await append(
    tx,
    messageId,
    decisions.map(({ account, events }) => ({
      streamId: account.id,
      expectedVersion: account.version,
      events,
    })),
  );
  await updateAccounts(
    tx,
    decisions.map(({ account, events }) => ({ before: account, after: after(account.id, account, events) })),
  );
}

function after(id: string, before: Account | null, events: readonly AccountEvent[]): Account {
  const account = fold(id, before, events);
  if (!account) throw new Error(`cannot record account ${JSON.stringify(id)}: it has no events`);
  return account;
}
