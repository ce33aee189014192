/**
 * A connection that only listens. It reconnects automatically and detects when its peer has vanished. Notifications sent
 * while it is not connected are lost, so the caller must look for work after each (re)connect.
 *
 * Behind a pooler in transaction mode, LISTEN succeeds but no notification ever arrives. So each new connection is tested
 * with its own notification. If that notification does not arrive, the listener relies on the caller's polling and
 * tests again later.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import type { ClientConfig, Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { doublingDelayMs } from '../core/retry-policy.ts';
import { backendOf } from '../platform/connection.ts';
import { withTimeout } from '../platform/deadline.ts';
import { errorFields } from '../platform/postgres-errors.ts';
import { keepsServerConnection, listenTo, notify, ping } from './notifications.ts';

export interface ListenerOptions {
  /** Sends the test notification. If there is no `directUrl`, the listener uses this pool's connection settings. */
  pool: Pool;
  /** INBOX_DIRECT_URL, which reaches Postgres without a pooler in transaction mode. */
  directUrl?: string | null | undefined;
  /** A plain identifier. */
  channel: string;
  /**
   * Called with the payload of each notification, and with null after each (re)connect or failed test: time to look for
   * work.
   */
  onWake: (payload: string | null) => void;
  log: CommandLog;
  /** Completes the log line about missing notifications, such as `results are polled every 500 ms`. */
  meanwhile: string;
  /** Called with whether notifications arrive over the new connection, or with the reason why there is no connection. */
  onChecked?: (works: boolean | Error) => void;
}

export interface Listener {
  close(): Promise<void>;
}

/** A connection whose peer has vanished reports nothing for hours, so the listener pings it. */
const PING_INTERVAL_MS = 5_000;
const PING_TIMEOUT_MS = 5_000;
const MAX_RECONNECT_DELAY_MS = 5_000;
/** Longer than a notification takes on a busy server. */
const PROBE_TIMEOUT_MS = 2_000;
/** If notifications don't arrive, they won't until someone reconfigures the pooler. */
const RECHECK_INTERVAL_MS = 5 * 60_000;

export function listen(options: ListenerOptions): Listener {
  return new ReconnectingListener(options);
}

/**
 * The connection settings of a pool, for a separate connection. `Pool#options` hides the password from being copied, and
 * pg accepts it as text or as a function.
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
  #notificationsMissing = false;

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
      // If the connection changes its backend with every transaction, do not send LISTEN: the backend would continue to
      // listen for its next clients.
      if (!(await this.#hasOwnBackend(client))) return this.#fallBackToPolling(client);
      await listenTo(client, channel);
      onWake(null);
      if (!(await this.#receivesNotifications(client))) return this.#fallBackToPolling(client);
      this.#failures = 0;
      if (this.#notificationsMissing) this.#options.log.info('notifications arrive again', { channel });
      this.#notificationsMissing = false;
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

  /**
   * Returns whether a notification sent through the pool arrives here. Other listeners on the channel wake up for it too.
   */
  async #receivesNotifications(client: Client): Promise<boolean> {
    const { pool, channel } = this.#options;
    const probe = `probe ${randomBytes(8).toString('hex')}`;
    const received = new Promise<true>((resolve) => {
      client.on('notification', ({ payload }) => void (payload === probe && resolve(true)));
    });
    await notify(pool, channel, probe);
    return withTimeout(
      PROBE_TIMEOUT_MS,
      () => received,
      () => false,
    );
  }

  async #hasOwnBackend(client: Client): Promise<boolean> {
    const other = this.#newClient();
    other.on('error', () => {});
    return keepsServerConnection(client, backendOf(client), async (use) => {
      try {
        await other.connect();
        return await use(other);
      } finally {
        await other.end().catch(() => {});
      }
    });
  }

  #fallBackToPolling(client: Client): void {
    if (this.#closed || this.#client !== client) return;
    this.#client = null;
    client.end().catch(() => {});
    if (!this.#notificationsMissing) {
      this.#options.log.warn(
        `notifications do not arrive over this connection, so ${this.#options.meanwhile}; ` +
          'set INBOX_DIRECT_URL to a URL that reaches this database without a pooler in transaction mode',
        { channel: this.#options.channel },
      );
    }
    this.#notificationsMissing = true;
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

  /** Runs once per connection, on the first of its events. */
  #reconnect(client: Client, error: Error): void {
    if (this.#closed || this.#client !== client) return;
    this.#client = null;
    clearTimeout(this.#timer);
    // A half-open connection never ends on its own.
    client.end().catch(() => {});
    this.#failures += 1;
    const delayMs = doublingDelayMs(100, MAX_RECONNECT_DELAY_MS, this.#failures);
    this.#options.onChecked?.(error);
    const fields = { ...errorFields(error), delayMs };
    this.#options.log.warn('listening for notifications was interrupted; polling continues', fields);
    this.#timer = setTimeout(() => void this.#connect(), delayMs);
  }
}
