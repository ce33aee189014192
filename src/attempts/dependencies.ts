/**
 * The dependencies of every attempt, whether an activity or the worker itself runs it.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { Registry } from '../commands/registry.ts';
import type { CommandLog } from '../core/command-log.ts';
import type { TraceDetails } from '../telemetry/traced-query.ts';

export interface AttemptDependencies {
  registry: Registry;
  /** One connection for each running attempt. */
  attempts: Pool;
  /** For failures, dead letters and operators' requests. These writes are durable and never wait for a running attempt. */
  records: Pool;
  maxPayloadBytes: number;
  /** This worker's name, as stored in `failures.worker`. */
  worker: string;
  buildId: string | null;
  /**
   * Aborted when the grace period of a shutdown is over. Temporal notifies ordinary activities of a shutdown, but not local
   * activities, and express attempts run outside of activities.
   */
  shutdown: AbortSignal;
  log: CommandLog;
  /** The name of the task queue, for spans and metrics. */
  taskQueue: string;
  /** Settings for the contents of spans. */
  trace: TraceDetails;
}
