/**
 * Publishes `inbox.outbox`: in order for each aggregate, at least once, and out of the way of commands.
 *
 * One relay at a time has the lease. Every statement with which it writes checks the lease, and a relay that has lost it tells
 * its publisher to stop. No statement relies on anything that a connection remembers, so that any pooler may be in between.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import type { Duration } from '../core/duration.ts';
import { RECORD_SETTINGS } from '../platform/connection-settings.ts';
import { createPool, sqlState } from '../platform/postgres.ts';
import { ConfigurationError, SchemaError } from '../core/errors.ts';
import { createLog } from '../platform/log.ts';
import { checkSchema } from '../store/migrate.ts';
import { LeaseLostError, OutboxLease } from './lease.ts';
import { backoff, OutboxSession, pause } from './session.ts';
import type { RelaySettings, RelaySignals } from './session.ts';
import type { Publish } from '../core/published-event.ts';
import { toMilliseconds } from '../core/duration.ts';

export interface OutboxRelayOptions {
  /** Postgres, with the inbox's schema in it. */
  databaseUrl: string;
  publish: Publish;
  /** The most events in one batch, 1 to 10,000. Default 200. */
  batchSize?: number;
  /** After this time a batch has failed, and its signal is aborted. Default 30 s. */
  publishTimeout?: Duration;
  /** The longest wait while the broker takes nothing; the first is 200 ms, each further one twice the last. Default 30 s. */
  maximumBackoff?: Duration;
  /** The longest wait between two tries of a rejected event; the first is 1 s, each further one twice the last. Default 5 min. */
  maximumParkedBackoff?: Duration;
  /** How long after its last sign of life another relay takes over, 1 s to 5 min. It is renewed three times as often. Default 15 s. */
  lease?: Duration;
  log?: CommandLog;
}

export interface OutboxRelay {
  /**
   * Publishes until {@link stop}; waits while another relay does. It outlives failures of the publisher and of Postgres.
   *
   * @throws SchemaError when the database was not migrated
   */
  run(): Promise<void>;
  /** Lets the batch under way end, for up to 5 s; then `run` ends, and another relay may publish at once. */
  stop(): void;
}

const STOP_GRACE_MS = 5_000;
const QUERY_TIMEOUT_MS = 20_000;
/** How soon the end of another relay is noticed. */
const LEASE_POLL_MS = 1_000;
const HOUR_MS = 3_600_000;

/**
 * A relay for the outbox of this database. Any number may run; one of them publishes. It uses one connection.
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
  const cut = new AbortController();
  return {
    async run() {
      const pool = createPool({
        connectionString: options.databaseUrl,
        max: 1,
        // Not the name that earlier releases used: they are recognized by it.
        applicationName: 'inbox outbox',
        settings: RECORD_SETTINGS,
        queryTimeoutMs: QUERY_TIMEOUT_MS,
      });
      const lease = new OutboxLease(pool, leaseMs);
      try {
        await runSessions(pool, lease, settings, { stopping: stopping.signal, cut: cut.signal });
      } finally {
        await lease.release();
        await pool.end();
      }
    },
    stop() {
      stopping.abort();
      setTimeout(() => cut.abort(new Error('the relay was stopped')), STOP_GRACE_MS).unref();
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
    log: options.log ?? createLog(),
  };
}

function readDuration(name: string, value: Duration, leastMs: number, mostMs: number): number {
  const ms = toMilliseconds(value);
  if (ms !== null && ms >= leastMs && ms <= mostMs) return ms;
  throw new ConfigurationError(
    `outbox relay: ${name} is ${JSON.stringify(value)}; give a duration from ${leastMs} ms to ${mostMs} ms, such as '30s'`,
  );
}

/** Waits for the lease and publishes while it has it, until it is stopped. */
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
        settings.log.warn('outbox relay lost its lease, waits until it gets it again');
        continue;
      }
      await lease.release();
      failures = performance.now() - started > settings.maximumBackoffMs ? 1 : failures + 1;
      const delayMs = backoff(settings, failures);
      const sqlstate = sqlState(error) ?? undefined;
      settings.log.warn('outbox relay lost Postgres, tries again', { error, sqlstate, failures, delayMs });
      await pause(delayMs, signals.stopping);
    }
  }
}
