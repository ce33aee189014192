/**
 * Finds what keeps vacuum from removing dead rows: an open transaction, a forgotten prepared transaction, or a
 * replication slot without a reader.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

export interface VacuumHolder {
  kind: 'session' | 'prepared transaction' | 'replication slot';
  /** The session's pid, the prepared transaction's gid, or the slot's name. */
  name: string;
  /** User, application and client address, as far as they are known. */
  owner: string;
  /** `idle in transaction`, `active` and so on; null if it is not a session. */
  state: string | null;
  /** The age of the transaction, in ms; null for a slot, which has no time. */
  ageMs: number | null;
  /** The age in transactions: how many transactions ago it began to hold vacuum back. */
  transactions: number;
}

export interface VacuumHolders {
  /** The holder that holds back the most comes first; at most 10. */
  holders: VacuumHolder[];
  /** The number of other users' sessions whose transactions this login may not see. */
  hidden: number;
}

/**
 * Finds sessions and prepared transactions of this database that are older than `ageMs`, and replication slots that are
 * more than `transactions` behind. Sources: https://www.postgresql.org/docs/current/routine-vacuuming.html and the views
 * used here.
 */
export async function findVacuumHolders(
  db: Queryable,
  ageMs: number,
  transactions: number,
): Promise<VacuumHolders> {
  const { rows } = await db.query<VacuumHolder>(
    `select * from (
       select 'session' as kind, pid::text as name,
              concat_ws(', ', usename, nullif(application_name, ''), host(client_addr)) as owner, state,
              (extract(epoch from clock_timestamp() - xact_start) * 1000)::float8 as "ageMs",
              greatest(age(backend_xmin), age(backend_xid))::float8 as transactions
       from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and (backend_xmin is not null or backend_xid is not null)
         and xact_start < clock_timestamp() - $1::float8 * interval '1 millisecond'
       union all
       select 'prepared transaction', gid, owner::text, null,
              (extract(epoch from clock_timestamp() - prepared) * 1000)::float8, age(transaction)::float8
       from pg_prepared_xacts
       where database = current_database() and prepared < clock_timestamp() - $1::float8 * interval '1 millisecond'
       union all
       select 'replication slot', slot_name::text, concat_ws(', ', slot_type, plugin, database), null, null,
              greatest(age(xmin), age(catalog_xmin))::float8
       from pg_replication_slots
       where greatest(age(xmin), age(catalog_xmin)) > $2::float8
     ) as holders
     order by transactions desc nulls last limit 10`,
    [ageMs, transactions],
  );
  // Of another user's session Postgres shows neither state nor backend_type.
  const hidden = await db.query<{ count: number }>(
    `select count(*)::integer as count from pg_stat_activity
     where datname = current_database() and backend_type is null and query = '<insufficient privilege>'`,
  );
  return { holders: rows, hidden: hidden.rows[0]?.count ?? 0 };
}
