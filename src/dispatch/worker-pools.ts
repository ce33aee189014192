/**
 * A worker's connections to Postgres.
 *
 * @module
 */
import type { Pool } from 'pg';
import { ATTEMPT_SETTINGS, CLAIM_SETTINGS, RECORD_SETTINGS } from '../platform/connection-settings.ts';
import { createPool } from '../platform/postgres.ts';

export type WorkerPools = Record<'looks' | 'claims' | 'attempts' | 'records', Pool>;

/** How many attempts run at the same time in one worker. */
export interface WorkerConcurrency {
  /** First attempts in workflows. */
  concurrency: number;
  expressConcurrency: number;
  /** Retries and long-running attempts. */
  retryConcurrency: number;
}

const OWN_QUERY_TIMEOUT_MS = 20_000;

export function createWorkerPools(
  connectionString: string,
  { concurrency, expressConcurrency, retryConcurrency }: WorkerConcurrency,
): WorkerPools {
  const own = { connectionString, queryTimeoutMs: OWN_QUERY_TIMEOUT_MS };
  // One for each attempt that has a slot. With fewer, commands that hang in one mode would keep those of another mode
  // waiting.
  const attempts = concurrency + expressConcurrency + retryConcurrency;
  // A pooler may have few connections to Postgres, and attempts must not take them all.
  const usual = Math.max(concurrency, expressConcurrency) + retryConcurrency;
  const smallPool = { max: Math.max(2, Math.ceil(usual / 8)), min: 1 };
  return {
    attempts: createPool({
      connectionString,
      max: attempts,
      applicationName: 'inbox attempts',
      pipeline: true,
      settings: ATTEMPT_SETTINGS,
      settingsFor: 'transaction',
    }),
    // For the relay's queries: a query for new work must not wait behind a claim that waits for another transaction. The
    // relay runs one query at a time, and with a single connection, a network that no longer answers costs only one timeout.
    looks: createPool({ ...own, max: 1, min: 1, applicationName: 'inbox looks', settings: CLAIM_SETTINGS }),
    // A claim uses its connection for a fraction of a millisecond, an attempt for its whole duration.
    claims: createPool({ ...own, ...smallPool, applicationName: 'inbox claims', settings: CLAIM_SETTINGS }),
    records: createPool({
      ...own,
      ...smallPool,
      applicationName: 'inbox records',
      settings: RECORD_SETTINGS,
    }),
  };
}

export async function closeWorkerPools(pools: WorkerPools): Promise<void> {
  await Promise.all(Object.values(pools).map((pool) => pool.end()));
}
