/**
 * A connection that only listens. It comes back by itself, and finds out when it has gone silent; whoever uses it must
 * look for itself each time it (re)connects, since what was notified in between is lost.
 *
 * Behind a pooler in transaction mode LISTEN is accepted and nothing is ever heard. So every new connection is tried with a
 * notification of its own, and where that does not arrive, the listener leaves it at the caller's polling and tries again later.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { ClientConfig, Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { backendOf } from '../platform/connection.ts';
import { errorFields } from '../platform/postgres-errors.ts';
import { keepsItsServer, listenTo, notify, ping } from './notifications.ts';

export interface ListenerOptions {
  /** For notifications; and where there is no `directUrl`, its connection settings are those of the listener. */
  pool: Pool;
  /** Reaches Postgres without a pooler in transaction mode: INBOX_DIRECT_URL. */
  directUrl?: string | null | undefined;
  /** A plain identifier. */
  channel: string;
  /** For each notification, with its payload; and with null for each new connection. */
  onWake: (payload: string | null) => void;
  log: CommandLog;
  /** What a log line says about the time without notifications, such as `entries are found by a sweep every second`. */
  meanwhile: string;
  /** Whether notifications arrive over the connection just made; or why none could be made. */
  onChecked?: (works: boolean | Error) => void;
}

export interface Listener {
  close(): Promise<void>;
}

/** A connection whose peer vanished says nothing, for hours; so it is asked. */
const PING_INTERVAL_MS = 5_000;
const PING_TIMEOUT_MS = 5_000;
const MAX_RECONNECT_DELAY_MS = 5_000;
/** Longer than a notification takes on a busy server. */
const HEARING_LIMIT_MS = 2_000;
/** Where listening does not work, it will not until somebody changes the pooler. */
const RECHECK_INTERVAL_MS = 5 * 60_000;

export function listen(options: ListenerOptions): Listener {
  return new ReconnectingListener(options);
}

/**
 * The connection settings of a pool, for a connection of its own. `Pool#options` hides the password from being copied, and
 * pg takes it as text or as a function.
 */
export function clientConfigOf(pool: Pool): ClientConfig {
  const { options } = pool as unknown as { options: ClientConfig };
  const config: ClientConfig = { ...options };
  if (options.password !== undefined) config.password = options.password;
  return config;
}

class ReconnectingListener implements Listener {
  readonly #options: ListenerOptions;
  #client: Client | null = null;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #failures = 0;
  #deaf = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
    void this.#connect();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#client?.end().catch(() => {});
  }

  async #connect(): Promise<void> {
    const { channel, onWake } = this.#options;
    const client = this.#newClient();
    this.#client = client;
    const lost = (error: Error) => this.#reconnect(client, error);
    client.on('error', lost);
    client.on('end', () => lost(new Error('Connection terminated unexpectedly')));
    client.on('notification', ({ payload }) => onWake(payload ?? ''));
    try {
      await client.connect();
      // A connection that changes its server with every transaction is not even asked to listen: the server would go on doing
      // so for its next clients.
      if (!(await this.#isSession(client))) return this.#giveUp(client);
      await listenTo(client, channel);
      onWake(null);
      if (!(await this.#hears(client))) return this.#giveUp(client);
      this.#failures = 0;
      if (this.#deaf) this.#options.log.info('notifications arrive again', { channel });
      this.#deaf = false;
      this.#options.onChecked?.(true);
      this.#pingLater(client);
    } catch (error) {
      lost(error as Error);
    }
  }

  #newClient(): Client {
    const { pool, directUrl } = this.#options;
    return new Client({
      ...(directUrl ? { connectionString: directUrl } : clientConfigOf(pool)),
      application_name: 'inbox listener',
      connectionTimeoutMillis: PING_TIMEOUT_MS,
      query_timeout: PING_TIMEOUT_MS,
      keepAlive: true,
    });
  }

  /** Whether a notification through the pool arrives here. Other listeners on the channel look once for nothing. */
  async #hears(client: Client): Promise<boolean> {
    const { pool, channel } = this.#options;
    const probe = `probe ${randomBytes(8).toString('hex')}`;
    const heard = new Promise<true>((resolve) => {
      client.on('notification', ({ payload }) => void (payload === probe && resolve(true)));
    });
    await notify(pool, channel, probe);
    const late = new AbortController();
    const limit = sleep(HEARING_LIMIT_MS, false, { signal: late.signal, ref: false }).catch(() => false);
    try {
      return await Promise.race([heard, limit]);
    } finally {
      late.abort();
    }
  }

  async #isSession(client: Client): Promise<boolean> {
    const other = this.#newClient();
    other.on('error', () => {});
    return keepsItsServer(client, backendOf(client), async (use) => {
      try {
        await other.connect();
        return await use(other);
      } finally {
        await other.end().catch(() => {});
      }
    });
  }

  #giveUp(client: Client): void {
    if (this.#closed || this.#client !== client) return;
    this.#client = null;
    client.end().catch(() => {});
    if (!this.#deaf) {
      this.#options.log.warn(
        `notifications do not arrive over this connection, so ${this.#options.meanwhile}; ` +
          'set INBOX_DIRECT_URL to a URL that reaches this database without a pooler in transaction mode',
        { channel: this.#options.channel },
      );
    }
    this.#deaf = true;
    this.#options.onChecked?.(false);
    this.#options.onWake(null);
    this.#timer = setTimeout(() => void this.#connect(), RECHECK_INTERVAL_MS);
  }

  #pingLater(client: Client): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      ping(client).then(
        () => this.#pingLater(client),
        (error: Error) => this.#reconnect(client, error),
      );
    }, PING_INTERVAL_MS);
  }

  /** Once for each connection, whichever of its events comes first. */
  #reconnect(client: Client, error: Error): void {
    if (this.#closed || this.#client !== client) return;
    this.#client = null;
    clearTimeout(this.#timer);
    // A half-open connection never ends by itself.
    client.end().catch(() => {});
    const delayMs = Math.min(100 * 2 ** this.#failures, MAX_RECONNECT_DELAY_MS);
    this.#failures += 1;
    this.#options.onChecked?.(error);
    const fields = { ...errorFields(error), delayMs };
    this.#options.log.warn('listening for notifications was interrupted; sweeps go on', fields);
    this.#timer = setTimeout(() => void this.#connect(), delayMs);
  }
}
