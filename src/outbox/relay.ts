/**
 * Publishes `inbox.outbox`: in order for each aggregate, at least once, and without slowing commands down.
 *
 * One relay at a time holds the lease. Every statement that writes checks the lease, and a relay that loses it aborts its
 * publisher's signal. No statement relies on session state, so any pooler may sit between the relay and Postgres.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import type { Duration } from '../core/duration.ts';
import { RECORD_SETTINGS } from '../platform/connection-settings.ts';
import { createPool, sqlState } from '../platform/postgres.ts';
import { ConfigurationError, SchemaError } from '../core/errors.ts';
import { chooseLog } from '../platform/pino-log.ts';
import type { PinoLogger } from '../platform/pino-log.ts';
import { checkSchema } from '../store/migrate.ts';
import { LeaseLostError, OutboxLease } from './lease.ts';
import { backoff, OutboxSession, pause } from './session.ts';
import type { RelaySettings, RelaySignals } from './session.ts';
import type { Publish } from '../core/published-event.ts';
import { toMilliseconds } from '../core/duration.ts';

export interface OutboxRelayOptions {
  /** The Postgres database with the inbox's schema. */
  databaseUrl: string;
  publish: Publish;
  /** The most events in one batch, 1 to 10,000. Default 200. */
  batchSize?: number;
  /** A batch that takes longer fails, and its signal is aborted. Default 30 s. */
  publishTimeout?: Duration;
  /**
   * The longest delay while the broker accepts nothing. The first delay is 200 ms; each one doubles the last. Default 30 s.
   */
  maximumBackoff?: Duration;
  /**
   * The longest delay between two attempts to publish a rejected event. The first delay is 1 s; each one doubles the last.
   * Default 5 min.
   */
  maximumParkedBackoff?: Duration;
  /**
   * How long the lease lasts without a renewal before another relay takes over, 1 s to 5 min. The relay renews it after a
   * third of this time. Default 15 s.
   */
  lease?: Duration;
  log?: CommandLog;
  /** An alternative to `log`: a logger of pino's shape. */
  logger?: PinoLogger;
}

export interface OutboxRelay {
  /**
   * Publishes until {@link stop}; waits while another relay publishes. Retries after failures of the publisher and of
   * Postgres.
   *
   * @throws SchemaError if the database was not migrated
   */
  run(): Promise<void>;
  /** Waits up to 5 s for the current batch; then `run` ends, and another relay can publish immediately. */
  stop(): void;
}

const STOP_GRACE_MS = 5_000;
const QUERY_TIMEOUT_MS = 20_000;
/** How often a waiting relay checks whether the lease is free. */
const LEASE_POLL_MS = 1_000;
const HOUR_MS = 3_600_000;

/**
 * Creates a relay for the outbox of this database. Any number of relays may run; one of them publishes. Each uses one
 * connection.
 *
 * @throws ConfigurationError for invalid settings
 * @example
 * const relay = createOutboxRelay({ databaseUrl, publish: async (events) => send(events) });
 * process.once('SIGTERM', () => relay.stop());
 * await relay.run();
 */
export function createOutboxRelay(options: OutboxRelayOptions): OutboxRelay {
  const settings = readOptions(options);
  const leaseMs = readDuration('lease', options.lease ?? '15s', 1_000, 300_000);
  const stopping = new AbortController();
  const graceOver = new AbortController();
  return {
    async run() {
      const pool = createPool({
        connectionString: options.databaseUrl,
        max: 1,
        // Must differ from the name that relays of earlier releases use, because they are recognized by that name.
        applicationName: 'inbox outbox',
        settings: RECORD_SETTINGS,
        queryTimeoutMs: QUERY_TIMEOUT_MS,
      });
      const lease = new OutboxLease(pool, leaseMs);
      try {
        await runSessions(pool, lease, settings, { stopping: stopping.signal, graceOver: graceOver.signal });
      } finally {
        await lease.release();
        await pool.end();
      }
    },
    stop() {
      stopping.abort();
      setTimeout(() => graceOver.abort(new Error('the relay was stopped')), STOP_GRACE_MS).unref();
    },
  };
}

function readOptions(options: OutboxRelayOptions): RelaySettings {
  const { batchSize = 200 } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > 10_000) {
    throw new ConfigurationError(
      `outbox relay: batchSize is ${batchSize}; give a whole number from 1 to 10000`,
    );
  }
  return {
    publish: options.publish,
    batchSize,
    publishTimeoutMs: readDuration('publishTimeout', options.publishTimeout ?? '30s', 1, HOUR_MS),
    maximumBackoffMs: readDuration('maximumBackoff', options.maximumBackoff ?? '30s', 1, HOUR_MS),
    maximumParkedBackoffMs: readDuration(
      'maximumParkedBackoff',
      options.maximumParkedBackoff ?? '5m',
      1,
      HOUR_MS,
    ),
    log: chooseLog(options),
  };
}

function readDuration(name: string, value: Duration, minMs: number, maxMs: number): number {
  const ms = toMilliseconds(value);
  if (ms !== null && ms >= minMs && ms <= maxMs) return ms;
  throw new ConfigurationError(
    `outbox relay: ${name} is ${JSON.stringify(value)}; give a duration from ${minMs} ms to ${maxMs} ms, such as '30s'`,
  );
}

/** Waits for the lease and publishes while holding it, until stopped. */
async function runSessions(
  pool: Pool,
  lease: OutboxLease,
  settings: RelaySettings,
  signals: RelaySignals,
): Promise<void> {
  let failures = 0;
  while (!signals.stopping.aborted) {
    const started = performance.now();
    try {
      await checkSchema(pool);
      while (!signals.stopping.aborted && !(await lease.take())) await pause(LEASE_POLL_MS, signals.stopping);
      if (signals.stopping.aborted) return;
      await new OutboxSession(pool, lease, settings, signals).run();
    } catch (error) {
      if (error instanceof SchemaError) throw error;
      if (error instanceof LeaseLostError) {
        settings.log.warn('outbox relay lost its lease; waiting to take it again');
        continue;
      }
      await lease.release();
      failures = performance.now() - started > settings.maximumBackoffMs ? 1 : failures + 1;
      const delayMs = backoff(settings, failures);
      const sqlstate = sqlState(error) ?? undefined;
      settings.log.warn('outbox relay got an error from Postgres; retrying', {
        error,
        sqlstate,
        failures,
        delayMs,
      });
      await pause(delayMs, signals.stopping);
    }
  }
}
