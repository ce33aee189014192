/**
 * The part of `inbox doctor` that looks at what holds vacuum back: dead rows and index entries pile up behind it.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { Verdict } from './finding.ts';
import { unhealthy, duration, healthy } from './finding.ts';
import type { VacuumHolder } from '../store/vacuum-holders.ts';
import { findVacuumHolders } from '../store/vacuum-holders.ts';

/** Longer than any attempt that is not long-running, and than most reports. */
const LONG_MS = 5 * 60_000;
/** How far behind a replication slot may be, in transactions: some minutes under load. */
const FAR_BEHIND = 1_000_000;

/** @throws what Postgres throws */
export async function checkVacuum(db: Queryable): Promise<Verdict> {
  const { holders, hidden } = await findVacuumHolders(db, LONG_MS, FAR_BEHIND);
  const [first, ...others] = holders;
  const unseen =
    hidden === 0 ? '' : ` (${hidden} sessions of other users cannot be seen; pg_read_all_stats shows them)`;
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
    `commands keep going, and dead rows pile up: end that transaction in its program, or: select pg_terminate_backend(${name}). ` +
    'Set idle_in_transaction_session_timeout for logins that forget theirs',
  'prepared transaction': () =>
    'finish it: COMMIT PREPARED or ROLLBACK PREPARED with the gid in pg_prepared_xacts, as its owner or a superuser',
  'replication slot': () =>
    'see that its consumer runs and reads; if it is gone for good, drop the slot: select pg_drop_replication_slot(…)',
};
