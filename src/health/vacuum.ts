/**
 * The vacuum check of `inbox doctor`: finds what keeps vacuum from removing dead rows and index entries.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { Verdict } from './finding.ts';
import { unhealthy, duration, healthy } from './finding.ts';
import type { VacuumHolder } from '../store/vacuum-holders.ts';
import { findVacuumHolders } from '../store/vacuum-holders.ts';

/** Longer than most reporting queries, and than any attempt that is not long-running. */
const LONG_MS = 5 * 60_000;
/** How many transactions a replication slot may lag behind: a few minutes under load. */
export const FAR_BEHIND = 1_000_000;

/** @throws any error from Postgres */
export async function checkVacuum(db: Queryable): Promise<Verdict> {
  const { holders, hidden } = await findVacuumHolders(db, LONG_MS, FAR_BEHIND);
  const [first, ...others] = holders;
  const unseen =
    hidden === 0
      ? ''
      : ` (${hidden} sessions of other users are not visible; the role pg_read_all_stats can see them)`;
  if (!first) return healthy(`no transaction is older than ${duration(LONG_MS)}${unseen}`);
  const more = others.length === 0 ? '' : `, and ${others.length} more`;
  return unhealthy(`vacuum is held back by ${describe(first)}${more}${unseen}`, REMEDIES[first.kind](first));
}

function describe({ kind, name, owner, state, ageMs, transactions }: VacuumHolder): string {
  const since = ageMs === null ? `${transactions} transactions behind` : `for ${duration(ageMs)}`;
  return `${kind} ${name} (${owner})${state === null ? '' : `, ${state},`} ${since}`;
}

const REMEDIES: Record<VacuumHolder['kind'], (holder: VacuumHolder) => string> = {
  session: ({ name }) =>
    `commands still run, but dead rows pile up: end that transaction in its program, or: select pg_terminate_backend(${name}). ` +
    'Set idle_in_transaction_session_timeout for logins that leave transactions open',
  'prepared transaction': () =>
    'finish it: COMMIT PREPARED or ROLLBACK PREPARED with the gid in pg_prepared_xacts, as its owner or a superuser',
  'replication slot': () =>
    'check that its consumer is running and reads; if the consumer no longer exists, drop the slot: select ' +
    'pg_drop_replication_slot(…)',
};
