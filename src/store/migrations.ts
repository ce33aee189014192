/**
 * `inbox.migrations`: which migrations the database has, and the session settings that a migration needs. All settings
 * are limited to the transaction: with PgBouncer in transaction mode, the next statement may run in another session.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { isUndefinedTable } from '../platform/postgres.ts';

export interface AppliedMigration {
  version: number;
  name: string;
  checksum: string;
  /** True if releases that do not know this migration must refuse the schema. */
  breaking: boolean;
}

/**
 * Returns the applied migrations by version; empty if no migration was ever applied. It needs only SELECT on this table,
 * so a login that may not migrate can find out that nothing has to be done. It reads each row as JSON, because databases
 * that earlier releases migrated have no column `breaking` yet.
 */
export async function appliedMigrations(db: Queryable): Promise<AppliedMigration[]> {
  try {
    const { rows } = await db.query<AppliedMigration>(
      `select version, name, checksum, coalesce((pg_catalog.to_jsonb(m) ->> 'breaking'::text)::boolean, true) as breaking
       from inbox.migrations m order by version`,
    );
    return rows;
  } catch (error) {
    if (isUndefinedTable(error)) return [];
    throw error;
  }
}

/** Returns whether the server is a standby. A standby cannot be migrated, whatever its settings are. */
export async function isStandby(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ standby: boolean }>('select pg_catalog.pg_is_in_recovery() as standby');
  return rows[0]!.standby;
}

/**
 * Must be the first statement of its transaction. Settings of the role, the database or the server may make transactions
 * read-only or change their isolation level.
 */
export async function beginMigration(tx: Queryable): Promise<void> {
  await tx.query('set transaction isolation level read committed, read write');
}

/**
 * Overrides the settings that could abort a migration or change the meaning of its statements. Sets only those that
 * differ and that this version of Postgres has: `transaction_timeout` is new in 17.
 *
 * @returns the pid of the backend, which a pooler may have chosen for this transaction only
 */
export async function pinMigrationSettings(tx: Queryable, lockTimeoutMs: number): Promise<number> {
  await tx.query(`set local search_path = pg_catalog, pg_temp`);
  await tx.query(
    `select set_config(pinned.name, pinned.setting, true)
     from (values ('lock_timeout', $1::text), ('statement_timeout', '0'), ('transaction_timeout', '0'),
       ('idle_in_transaction_session_timeout', '0'), ('row_security', 'on'), ('standard_conforming_strings', 'on'),
       ('transform_null_equals', 'off'), ('check_function_bodies', 'on'), ('array_nulls', 'on'),
       ('quote_all_identifiers', 'off'),
       ('DateStyle', 'ISO, MDY'), ('IntervalStyle', 'postgres'), ('TimeZone', 'UTC')) as pinned (name, setting)
     join pg_settings s on s.name = pinned.name
     where s.setting <> pinned.setting`,
    [String(lockTimeoutMs)],
  );
  const { rows } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid');
  return rows[0]!.pid;
}

/**
 * Locks the table until the transaction ends. Waits for another migrator, up to the lock timeout. Only migrators can hold
 * this lock: it needs more than the right to read the table.
 */
export async function lockMigrations(tx: Queryable): Promise<void> {
  await tx.query('lock table inbox.migrations in share row exclusive mode');
}

/**
 * Migrators of earlier releases wait for this lock. Every login can hold it, so this migrator does not wait for them:
 * concurrent migrators detect each other through the table.
 */
export async function lockOutEarlierMigrators(tx: Queryable): Promise<void> {
  await tx.query('select pg_try_advisory_xact_lock(8071829304651)');
}

/**
 * Switches to the role that owns what earlier migrations created (or owns the schema, if no migration ran yet), if the
 * login may do so. The next migration could not change an object that another member of that role owns. If there is no
 * schema, the role that may create it is used: the one from the login's settings, or else the login itself.
 *
 * @returns the role that migrates
 */
export async function becomeOwner(tx: Queryable): Promise<string> {
  const { rows } = await tx.query<{ owner: string }>(
    `select set_config('role', r.rolname, true) as owner
     from pg_roles r
     where r.oid = coalesce(
         (select c.relowner from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = 'inbox' and c.relname = 'migrations'),
         (select nspowner from pg_namespace where nspname = 'inbox'),
         (select oid from pg_roles
          where rolname = session_user and not has_database_privilege(current_user, current_database(), 'create')
            and has_database_privilege(session_user, current_database(), 'create')))
       and r.rolname <> current_user
       and case when current_setting('server_version_num')::integer >= 160000
           then pg_has_role(session_user, r.oid, 'SET') else pg_has_role(session_user, r.oid, 'MEMBER') end`,
  );
  if (rows[0]) return rows[0].owner;
  const { rows: current } = await tx.query<{ owner: string }>('select current_user::text as owner');
  return current[0]!.owner;
}

interface MigrationTable {
  hasSchema: boolean;
  hasTable: boolean;
  hasBreaking: boolean;
}

async function inspectMigrationTable(db: Queryable): Promise<MigrationTable> {
  const { rows } = await db.query<MigrationTable>(
    `select count(n.oid) > 0 as "hasSchema", count(c.oid) > 0 as "hasTable", count(a.attnum) > 0 as "hasBreaking"
     from pg_namespace n
     left join pg_class c on c.relnamespace = n.oid and c.relname = 'migrations'
     left join pg_attribute a on a.attrelid = c.oid and a.attname = 'breaking' and not a.attisdropped
     where n.nspname = 'inbox'`,
  );
  return rows[0]!;
}

/**
 * Returns whether any migration was ever applied. Every login may read the catalog, and reading it cannot fail and abort
 * the transaction.
 */
export async function hasMigrationTable(db: Queryable): Promise<boolean> {
  return (await inspectMigrationTable(db)).hasTable;
}

/**
 * Creates the schema and this table. They are not a migration, because the table must exist to say which migrations were
 * applied. It checks first what exists: CREATE … IF NOT EXISTS needs the right to create even if nothing has to be
 * created, and a DBA may have created the schema.
 */
export async function createMigrationTable(tx: Queryable): Promise<void> {
  const { hasSchema, hasTable, hasBreaking } = await inspectMigrationTable(tx);
  if (!hasSchema) await tx.query('create schema inbox');
  if (!hasTable) {
    await tx.query(`
      create table inbox.migrations (
        version    integer primary key,
        name       text not null,
        checksum   text not null,
        applied_at timestamptz not null default now())`);
  }
  if (!hasBreaking)
    await tx.query('alter table inbox.migrations add column breaking boolean not null default true');
}

export async function recordMigration(tx: Queryable, migration: AppliedMigration): Promise<void> {
  await tx.query('insert into inbox.migrations (version, name, checksum, breaking) values ($1, $2, $3, $4)', [
    migration.version,
    migration.name,
    migration.checksum,
    migration.breaking,
  ]);
}
