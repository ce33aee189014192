/**
 * The read model `bank.accounts`: the current state of each account, written in the transaction that appends the events.
 *
 * @module
 */
import { DatabaseError } from 'pg';
import type { Account } from './account.ts';
import { AccountBusy, AccountNotFound, ConcurrencyError } from './errors.ts';
import type { Queryable } from './postgres.ts';

interface AccountRow {
  id: string;
  owner: string;
  /** pg returns bigint as text, which preserves all digits. */
  balance_cents: string;
  version: number;
}

/** Reads an account without locking it. Returns null if it does not exist. */
export async function findAccount(tx: Queryable, id: string): Promise<Account | null> {
  const { rows } = await tx.query<AccountRow>(
    'select id, owner, balance_cents, version from bank.accounts where id = $1',
    [id],
  );
  return rows[0] ? toAccount(rows[0]) : null;
}

/**
 * Locks the accounts until the transaction ends. Returns a function that returns an account by its id.
 * Throws {@link AccountBusy} after waiting 250 ms for a lock, and {@link AccountNotFound} for the first missing account.
 */
export async function lockAccounts(tx: Queryable, ids: readonly string[]): Promise<(id: string) => Account> {
  const found = new Map((await lock(tx, ids)).map((row) => [row.id, toAccount(row)]));
  const accountOf = (id: string): Account => {
    const account = found.get(id);
    if (!account) throw new AccountNotFound(id);
    return account;
  };
  ids.forEach(accountOf);
  return accountOf;
}

async function lock(tx: Queryable, ids: readonly string[]): Promise<AccountRow[]> {
  try {
    const { rows } = await tx.query<AccountRow>(
      'select id, owner, balance_cents, version from bank.lock_accounts($1)',
      [ids],
    );
    return rows;
  } catch (error) {
    if (error instanceof DatabaseError && error.code === '55P03') throw new AccountBusy(ids, error);
    throw error;
  }
}

function toAccount(row: AccountRow): Account {
  return { id: row.id, owner: row.owner, balanceCents: BigInt(row.balance_cents), version: row.version };
}

/** Must run after the events were appended. Their primary key has then already rejected a second account with this id. */
export async function insertAccount(tx: Queryable, account: Account): Promise<void> {
  await tx.query('insert into bank.accounts (id, owner, balance_cents, version) values ($1, $2, $3, $4)', [
    account.id,
    account.owner,
    account.balanceCents,
    account.version,
  ]);
}

export interface AccountChange {
  before: Account;
  after: Account;
}

/** Also compares the version, so a caller that did not lock the accounts gets an error and overwrites nothing. */
export async function updateAccounts(tx: Queryable, changes: readonly AccountChange[]): Promise<void> {
  const { rowCount } = await tx.query(
    `update bank.accounts as account
     set balance_cents = change.balance_cents, version = change.version
     from unnest($1::text[], $2::integer[], $3::bigint[], $4::integer[])
       as change (id, expected_version, balance_cents, version)
     where account.id = change.id and account.version = change.expected_version`,
    [
      changes.map(({ before }) => before.id),
      changes.map(({ before }) => before.version),
      changes.map(({ after }) => after.balanceCents),
      changes.map(({ after }) => after.version),
    ],
  );
  if (rowCount !== changes.length) throw new ConcurrencyError(changes.map(({ before }) => before.id));
}
