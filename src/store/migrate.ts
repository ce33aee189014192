/**
 * Migrates the database's schema to the version of this package.
 *
 * @module
 */
import type { Pool, PoolClient } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import {
  isDeadlock,
  isLockNotAvailable,
  isPermissionDenied,
  sqlState,
  withTransaction,
} from '../platform/postgres.ts';
import { messageOf } from '../platform/error-message.ts';
import { SchemaError } from '../core/errors.ts';
import { createLog } from '../platform/log.ts';
import { readMigrations, statementsOf } from './migration-files.ts';
import type { Migration } from './migration-files.ts';
import { BlockerWatch, LockedOutError, retryWhileLocked } from './migration-locks.ts';
import { compareSchema } from './schema-state.ts';
import type { SchemaState } from './schema-state.ts';
import {
  appliedMigrations,
  becomeOwner,
  beginMigration,
  createMigrationTable,
  hasMigrationTable,
  isStandby,
  lockMigrations,
  lockOutEarlierMigrators,
  pinMigrationSettings,
  recordMigration,
} from './migrations.ts';
import type { AppliedMigration } from './migrations.ts';

export { readMigrations } from './migration-files.ts';
export type { Migration } from './migration-files.ts';

export interface MigrateOptions {
  /** Receives a line for each attempt that was blocked by another session's lock. Default: stderr. */
  log?: CommandLog;
  /**
   * How long a statement of a migration may wait for a lock, in ms. Meanwhile, everything else that needs the table waits
   * behind it. Default 1 s.
   */
  lockTimeoutMs?: number;
  /** How long to retry each migration while other sessions hold the locks, in ms. Default 2 minutes. */
  waitMs?: number;
}

export interface MigrationReport {
  applied: Migration[];
  /** The schema's version now. */
  version: number;
  /** Migrations of newer releases that the database has; this package works with them. */
  newer: AppliedMigration[];
}

const LOCK_TIMEOUT_MS = 1_000;
const WAIT_MS = 120_000;

/**
 * Applies the missing migrations, each in its own transaction, one migrator at a time. If no migration is missing, it
 * only reads `inbox.migrations`: then a login without any other right, or a read-only server, is enough.
 *
 * @throws SchemaError when an applied migration was edited, a newer release applied one that breaks this package, the
 *   login may not migrate, or the server is read-only; MigrationBlockedError when other sessions held the locks for too
 *   long
 */
export async function migrate(
  pool: Pool,
  migrations?: Migration[],
  options: MigrateOptions = {},
): Promise<MigrationReport> {
  const { log = createLog(), lockTimeoutMs = LOCK_TIMEOUT_MS, waitMs = WAIT_MS } = options;
  const known = migrations ?? (await readMigrations());
  const applied: Migration[] = [];
  for (;;) {
    const { missing, version, newer } = compareSchema(known, await readApplied(pool));
    const [next] = missing;
    if (!next) return { applied, version, newer };
    if (await isStandby(pool)) {
      throw new SchemaError(
        `the database lacks migration ${next.name}, and this server is a read-only standby; run \`inbox migrate\` against the primary`,
      );
    }
    const attempt = () => applyNext(pool, known, next, lockTimeoutMs);
    const migration = await retryWhileLocked(attempt, { waitMs, log });
    if (migration) applied.push(migration);
  }
}

/** A member of the owner's role that does not inherit its rights can read the table only as the owner. */
async function readApplied(pool: Pool): Promise<AppliedMigration[]> {
  try {
    return await appliedMigrations(pool);
  } catch (error) {
    if (!isPermissionDenied(error)) throw error;
    return withTransaction(pool, async (tx) => {
      await becomeOwner(tx);
      return (await hasMigrationTable(tx)) ? appliedMigrations(tx) : [];
    });
  }
}

/** Returns null if another migrator applied everything meanwhile. */
async function applyNext(
  pool: Pool,
  known: readonly Migration[],
  { name }: Migration,
  lockTimeoutMs: number,
): Promise<Migration | null> {
  const watch = new BlockerWatch(pool, lockTimeoutMs / 2);
  try {
    return await withTransaction(pool, async (tx) => {
      await beginMigration(tx);
      watch.start(await pinMigrationSettings(tx, lockTimeoutMs));
      await lockOutEarlierMigrators(tx);
      return applyInTransaction(tx, known);
    });
  } catch (error) {
    const holders = await watch.stop();
    if (!isLockNotAvailable(error) && !isDeadlock(error)) throw addRemedy(error, name);
    throw new LockedOutError(`migration ${name} could not get a lock`, holders, { cause: error });
  } finally {
    await watch.stop();
  }
}

async function applyInTransaction(tx: PoolClient, known: readonly Migration[]): Promise<Migration | null> {
  await becomeOwner(tx);
  await ensureMigrationTable(tx);
  await lockMigrations(tx);
  const [next] = compareSchema(known, await appliedMigrations(tx)).missing;
  if (!next) return null;
  await tx.query(statementsOf(next));
  await recordMigration(tx, next);
  return next;
}

/** If two migrators create the table at the same time, the second one fails. When it retries, the table exists. */
async function ensureMigrationTable(tx: PoolClient): Promise<void> {
  try {
    await createMigrationTable(tx);
  } catch (error) {
    // duplicate_schema, duplicate_table; unique_violation in the catalog.
    if (!['42P06', '42P07', '23505'].includes(sqlState(error) ?? '')) throw error;
    throw new LockedOutError('another migrator is creating the schema', [], { cause: error });
  }
}

/** Adds the remedy to an error caused by missing rights; returns any other error as it is. */
function addRemedy(error: unknown, name: string): unknown {
  if (!isPermissionDenied(error)) return error;
  return new SchemaError(
    `the database lacks migration ${name}, and this login may not apply it (${messageOf(error)}); run \`inbox migrate\` as the ` +
      'owner of the schema inbox or as a member of that role. If there is no schema yet, a DBA can create it for the login: ' +
      '`create schema inbox authorization <login>`',
    { cause: error },
  );
}

/**
 * Throws if this version cannot work with the database. Changes nothing.
 *
 * @returns the schema's state; it may be newer than this package
 * @throws SchemaError that names the command to run
 */
export async function checkSchema(pool: Pool): Promise<SchemaState> {
  const state = compareSchema(await readMigrations(), await appliedMigrations(pool));
  const [next] = state.missing;
  if (!next) return state;
  throw new SchemaError(`the database lacks migration ${next.name}; run \`inbox migrate\` against it first`);
}
