/**
 * Invariants of the bank that hold at any moment, even while transfers run. Each check is one statement, so it sees one
 * snapshot. The check returns the rows that violate the invariant.
 *
 * @module
 */
import type { Pool } from 'pg';

export interface Conservation {
  accounts: number;
  /** Sum of all balances. */
  balanceCents: bigint;
  /** Sum of all deposits from outside. */
  depositedCents: bigint;
  /** One sentence for each violation. Empty if there are none. */
  problems: string[];
}

/** Transfers only move money, so the sum of all balances must equal the sum of all deposits. */
const TOTALS = `
  select (select count(*) from bank.accounts)::integer as accounts,
         (select coalesce(sum(balance_cents), 0) from bank.accounts)::text as balance,
         (select coalesce(sum((data ->> 'amountCents')::bigint), 0) from bank.events
          where type = 'FundsDeposited')::text as deposited`;

/** The read model must match the events. The full join also finds accounts without events and events without an account. */
const READ_MODEL = `
  with folded as (
    select stream_id as id,
           sum(case type when 'FundsDeposited' then (data ->> 'amountCents')::bigint
                         when 'TransferReceived' then (data ->> 'amountCents')::bigint
                         when 'TransferSent' then -(data ->> 'amountCents')::bigint
                         else 0 end) as balance_cents,
           max(version) as version,
           count(*) as events,
           max(data ->> 'owner') filter (where version = 1) as owner
    from bank.events
    group by stream_id
  )
  select format('account %s: the read model has version %s and %s cents, its %s events make version %s and %s cents',
                coalesce(account.id, folded.id), account.version, account.balance_cents,
                folded.events, folded.version, folded.balance_cents) as problem
  from bank.accounts account
  full join folded on folded.id = account.id
  where (account.balance_cents, account.version, account.version::bigint, account.owner)
        is distinct from (folded.balance_cents, folded.version, folded.events, folded.owner)
  order by 1`;

/**
 * A Completed transfer must have taken effect exactly once, in both accounts and with the full amount. A transfer that is
 * not Completed must have no effect. The full join also finds events of messages that the inbox does not know.
 */
const TRANSFERS = `
  with effects as (
    select message_id,
           count(*) filter (where type = 'TransferSent') as sent,
           count(*) filter (where type = 'TransferReceived') as received,
           count(distinct data ->> 'amountCents') as amounts,
           max((data ->> 'amountCents')::bigint) as amount
    from bank.events
    where type in ('TransferSent', 'TransferReceived')
    group by message_id
  ), transfers as (
    select message_id, status::text as status, payload from inbox.entries where command_type = 'TransferFunds'
  )
  select format('transfer %s is %s, with %s withdrawals and %s deposits of %s cents',
                coalesce(transfers.message_id, effects.message_id), coalesce(status, 'unknown to the inbox'),
                coalesce(sent, 0), coalesce(received, 0), coalesce(amount, 0)) as problem
  from transfers
  full join effects on effects.message_id = transfers.message_id
  where case when status = 'Completed'
             then (sent, received, amounts, amount)
                  is distinct from (1::bigint, 1::bigint, 1::bigint, (payload ->> 'amountCents')::bigint)
             else effects.message_id is not null end
  order by 1`;

export async function checkConservation(pool: Pool): Promise<Conservation> {
  const { rows } = await pool.query<{ accounts: number; balance: string; deposited: string }>(TOTALS);
  const totals = rows[0] ?? { accounts: 0, balance: '0', deposited: '0' };
  const problems = [...(await findProblems(pool, READ_MODEL)), ...(await findProblems(pool, TRANSFERS))];
  if (totals.balance !== totals.deposited) {
    problems.unshift(`accounts hold ${totals.balance} cents, but ${totals.deposited} were deposited`);
  }
  return {
    accounts: totals.accounts,
    balanceCents: BigInt(totals.balance),
    depositedCents: BigInt(totals.deposited),
    problems,
  };
}

async function findProblems(pool: Pool, statement: string): Promise<string[]> {
  const { rows } = await pool.query<{ problem: string }>(statement);
  return rows.map((row) => row.problem);
}
