/**
 * What an attempt works with, whether an activity runs it or the worker itself.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { Registry } from '../commands/registry.ts';
import type { CommandLog } from '../core/command-log.ts';

export interface AttemptDependencies {
  registry: Registry;
  /** One connection for each attempt that runs. */
  attempts: Pool;
  /** Failures, dead letters and what operators do. These writes are durable and never wait for a running attempt. */
  records: Pool;
  maxPayloadBytes: number;
  /** This worker's name, as stored in `failures.worker`. */
  worker: string;
  buildId: string | null;
  /**
   * Aborted when the grace period of a shutdown is over. Temporal notifies ordinary activities of it, but never local
   * activities, and express attempts are no activities at all.
   */
  shutdown: AbortSignal;
  log: CommandLog;
}
