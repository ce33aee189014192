/**
 * Checks everything that the inbox depends on.
 *
 * @module
 */
import type { Finding } from './finding.ts';
import type { Pool } from 'pg';
import { readDatabaseUrl } from '../platform/postgres-url.ts';
import { OPERATOR_SETTINGS } from '../platform/connection-settings.ts';
import { createPool } from '../platform/postgres.ts';
import { inboxIdOf } from '../store/inbox-id.ts';
import { checkDatabase } from './database.ts';
import { checkTemporal } from './temporal.ts';

export interface HealthOptions {
  /** DATABASE_URL, TEMPORAL_ADDRESS and all other settings. Default: the environment of the process. */
  env?: Record<string, string | undefined>;
  /** The time limit for each check. Default 5 s. */
  timeoutMs?: number;
}

/**
 * Checks Postgres, then Temporal, each even if the other is down. Never throws: errors become findings.
 *
 * @example
 * const unhealthy = (await checkHealth()).filter(({ ok }) => !ok);
 */
export async function checkHealth({ env = process.env, timeoutMs = 5_000 }: HealthOptions = {}): Promise<
  Finding[]
> {
  // Runs before the pool below opens connections, which would disturb the check for a pooler.
  const database = await checkDatabase(env, timeoutMs);
  const pool = openPool(env, timeoutMs);
  try {
    const isUsable = database.some(({ name, ok }) => name === 'schema' && ok);
    const temporal = await checkTemporal(env, timeoutMs, isUsable ? await poolIfUsable(pool) : null);
    return [...pointToWorkflows(database, temporal), ...temporal];
  } finally {
    await pool?.end();
  }
}

/** The pool for checks that need both servers. Null if DATABASE_URL is unusable, which the database check reports. */
function openPool(env: Record<string, string | undefined>, timeoutMs: number): Pool | null {
  try {
    const limits = { connectTimeoutMs: timeoutMs, queryTimeoutMs: timeoutMs };
    return createPool({
      connectionString: readDatabaseUrl(env),
      max: 2,
      applicationName: 'inbox doctor',
      settings: OPERATOR_SETTINGS,
      ...limits,
    });
  } catch {
    return null;
  }
}

/** Null if Postgres doesn't answer or has no inbox of this release. */
async function poolIfUsable(pool: Pool | null): Promise<Pool | null> {
  if (pool === null) return null;
  return inboxIdOf(pool).then(
    () => pool,
    () => null,
  );
}

const MOVED_BY_WORKFLOWS = ['pending entries', 'failed entries', 'processing entries', 'records'];

/** Replaces remedies such as starting more workers, which don't help messages whose workflow is blocked. */
function pointToWorkflows(database: Finding[], temporal: Finding[]): Finding[] {
  const workflows = temporal.find(({ name }) => name === 'workflows');
  if (!workflows || workflows.ok) return database;
  return database.map((finding) =>
    finding.ok || !MOVED_BY_WORKFLOWS.includes(finding.name)
      ? finding
      : { ...finding, remedy: `first follow the remedy of the check \`workflows\`: ${workflows.remedy}` },
  );
}
