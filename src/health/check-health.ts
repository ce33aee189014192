/**
 * Whether everything the inbox stands on is there and well.
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
  /** DATABASE_URL, TEMPORAL_ADDRESS and all other settings. Default: those of the process. */
  env?: Record<string, string | undefined>;
  /** For each question. Default 5 s. */
  timeoutMs?: number;
}

/**
 * Looks at Postgres, then at Temporal: one of them being down hides nothing of the other. Never throws: what goes wrong is a
 * finding.
 *
 * @example
 * const sick = (await checkHealth()).filter(({ ok }) => !ok);
 */
export async function checkHealth({ env = process.env, timeoutMs = 5_000 }: HealthOptions = {}): Promise<
  Finding[]
> {
  // Its check of the pooler must not be disturbed by connections of ours.
  const database = await checkDatabase(env, timeoutMs);
  const pool = openPool(env, timeoutMs);
  try {
    const isUsable = database.some(({ name, ok }) => name === 'schema' && ok);
    const temporal = await checkTemporal(env, timeoutMs, isUsable ? await canRead(pool) : null);
    return [...explainLate(database, temporal), ...temporal];
  } finally {
    await pool?.end();
  }
}

/** For what concerns both servers. Null when there is no usable DATABASE_URL, which the check of the database says. */
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

/** Null when Postgres does not answer, or has no inbox of this release. */
async function canRead(pool: Pool | null): Promise<Pool | null> {
  if (pool === null) return null;
  return inboxIdOf(pool).then(
    () => pool,
    () => null,
  );
}

const MOVED_BY_WORKFLOWS = ['pending entries', 'failed entries', 'processing entries', 'records'];

/** Starting more workers does not help messages whose workflow is in the way. */
function explainLate(database: Finding[], temporal: Finding[]): Finding[] {
  const workflows = temporal.find(({ name }) => name === 'workflows');
  if (!workflows || workflows.ok) return database;
  return database.map((finding) =>
    finding.ok || !MOVED_BY_WORKFLOWS.includes(finding.name)
      ? finding
      : { ...finding, remedy: `first what the check \`workflows\` says: ${workflows.remedy}` },
  );
}
