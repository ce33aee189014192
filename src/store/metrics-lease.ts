/**
 * `inbox.metrics_lease`: which worker reports the metrics that need a look at the tables. If all workers did, sums over them
 * would be too high, and Postgres would do the same work several times.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

/**
 * Takes or renews the lease.
 *
 * @param holder - a uuid of this worker
 * @returns false if another worker holds it
 */
export async function takeMetricsLease(
  db: Queryable,
  holder: string,
  name: string,
  leaseMs: number,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `insert into inbox.metrics_lease as l (holder, name, until)
     values ($1::uuid, $2::text, clock_timestamp() + $3::float8 * interval '1 millisecond')
     on conflict (one) do update set holder = excluded.holder, name = excluded.name, until = excluded.until
     where l.holder = excluded.holder or l.until <= clock_timestamp()`,
    [holder, name, leaseMs],
  );
  return rowCount === 1;
}

/** Lets another worker take the lease immediately. */
export async function releaseMetricsLease(db: Queryable, holder: string): Promise<void> {
  await db.query(`update inbox.metrics_lease set until = '-infinity' where holder = $1::uuid`, [holder]);
}
