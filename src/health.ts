/**
 * Whether everything the inbox stands on is there and well.
 *
 * @module
 */
import type { Finding } from './finding.ts';
import { checkDatabase } from './health-database.ts';
import { checkTemporal } from './health-temporal.ts';

export interface HealthOptions {
  /** DATABASE_URL, TEMPORAL_ADDRESS and all other settings. Default: those of the process. */
  env?: Record<string, string | undefined>;
  /** For each question. Default 5 s. */
  timeoutMs?: number;
}

/**
 * Looks at Postgres and Temporal at the same time, so that the one being down hides nothing of the other. Never throws:
 * what goes wrong is a finding.
 *
 * @example
 * const sick = (await checkHealth()).filter(({ ok }) => !ok);
 */
export async function checkHealth({ env = process.env, timeoutMs = 5_000 }: HealthOptions = {}): Promise<
  Finding[]
> {
  const found = await Promise.all([checkDatabase(env, timeoutMs), checkTemporal(env, timeoutMs)]);
  return found.flat();
}
