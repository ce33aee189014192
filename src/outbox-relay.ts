/**
 * Publishes `inbox.outbox`: in order for each aggregate, at least once, and out of the way of commands.
 *
 * One connection holds the lock, reads and marks. A relay that lost its connection has lost the lock with it, and can
 * mark nothing that its successor is working on.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandLog, Duration } from './command.ts';
import { createPool, sqlState } from './database.ts';
import { ConfigurationError, SchemaError } from './errors.ts';
import { createLog } from './log.ts';
import { checkSchema } from './migrate.ts';
import { backoff, OutboxSession, pause } from './outbox-session.ts';
import type { RelaySettings } from './outbox-session.ts';
import type { Publish } from './publisher.ts';
import { toMilliseconds } from './registry.ts';

export interface OutboxRelayOptions {
  /** Postgres, with the inbox's schema in it. */
  databaseUrl: string;
  publish: Publish;
  /** Events at most in one batch, 1 to 10,000. Default 200. */
  batchSize?: number;
  /** After it a batch counts as failed, and its signal is aborted. Default 30 s. */
  publishTimeout?: Duration;
  /** The longest wait after a failure; the first is 200 ms, each further one twice the last. Default 30 s. */
  maximumBackoff?: Duration;
  log?: CommandLog;
}

export interface OutboxRelay {
  /**
   * Publishes until {@link stop}; waits while another relay does. It outlives failures of the publisher and of Postgres.
   *
   * @throws SchemaError when the database was not migrated
   */
  run(): Promise<void>;
  /** Lets the batch in flight end, for up to 5 s; its end is that of `run`. */
  stop(): void;
}

const STOP_GRACE_MS = 5_000;
const OWN_QUERY_TIMEOUT_MS = 20_000;
const IDLE_MARGIN_MS = 10_000;

/**
 * A relay for the outbox of this database. Any number may run; one of them publishes.
 *
 * @throws ConfigurationError for settings that make no sense
 * @example
 * const relay = createOutboxRelay({ databaseUrl, publish: async (events) => send(events) });
 * process.once('SIGTERM', () => relay.stop());
 * await relay.run();
 */
export function createOutboxRelay(options: OutboxRelayOptions): OutboxRelay {
  const settings = readOptions(options);
  const stopping = new AbortController();
  const cut = new AbortController();
  return {
    async run() {
      const pool = createRelayPool(options.databaseUrl, settings);
      try {
        await runSessions(pool, settings, { stopping: stopping.signal, cut: cut.signal });
      } finally {
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
    publishTimeoutMs: readDuration('publishTimeout', options.publishTimeout ?? '30s'),
    maximumBackoffMs: readDuration('maximumBackoff', options.maximumBackoff ?? '30s'),
    log: options.log ?? createLog(),
  };
}

function readDuration(name: string, value: Duration): number {
  const ms = toMilliseconds(value);
  if (ms !== null && ms >= 1 && ms <= 3_600_000) return ms;
  throw new ConfigurationError(
    `outbox relay: ${name} is ${JSON.stringify(value)}; give a duration of at most an hour, such as '30s'`,
  );
}

function createRelayPool(connectionString: string, settings: RelaySettings): Pool {
  return createPool({
    connectionString,
    max: 1,
    applicationName: 'inbox outbox relay',
    queryTimeoutMs: OWN_QUERY_TIMEOUT_MS,
    settings: {
      statement_timeout: '15s',
      lock_timeout: '5s',
      // What a crash of Postgres can lose are marks: those events are published again, as after any crash.
      synchronous_commit: 'off',
      // A relay that is stopped or cut off must give way to another one. The server finds a dead network in 25 s, and
      // a frozen process after the longest time in which a live one has nothing to say.
      idle_session_timeout: `${settings.publishTimeoutMs + settings.maximumBackoffMs + IDLE_MARGIN_MS}ms`,
      tcp_keepalives_idle: '10',
      tcp_keepalives_interval: '5',
      tcp_keepalives_count: '3',
      // Keepalives are not sent while an answer is under way.
      tcp_user_timeout: '25s',
    },
  });
}

/** Runs sessions, each on a connection of its own, until it is stopped. */
async function runSessions(
  pool: Pool,
  settings: RelaySettings,
  signals: { stopping: AbortSignal; cut: AbortSignal },
): Promise<void> {
  let failures = 0;
  while (!signals.stopping.aborted) {
    const started = performance.now();
    try {
      await checkSchema(pool);
      const client = await pool.connect();
      const lost = new AbortController();
      client.once('end', () => lost.abort(new Error('the connection to Postgres ended')));
      try {
        await new OutboxSession(client, settings, { ...signals, lost: lost.signal }).run();
      } finally {
        // Closed, not returned: the lock goes with it.
        client.release(true);
      }
    } catch (error) {
      if (error instanceof SchemaError) throw error;
      failures = performance.now() - started > settings.maximumBackoffMs ? 1 : failures + 1;
      const delayMs = backoff(settings, failures);
      const sqlstate = sqlState(error) ?? undefined;
      settings.log.warn('outbox relay lost Postgres, tries again', { error, sqlstate, failures, delayMs });
      await pause(delayMs, signals.stopping);
    }
  }
}
