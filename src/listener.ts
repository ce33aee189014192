/**
 * A connection that only listens. It comes back by itself, and finds out when it has gone silent; whoever uses it must
 * look for itself each time it (re)connects, since what was notified in between is lost.
 *
 * @module
 */
import { Client } from 'pg';
import type { ClientConfig } from 'pg';
import type { CommandLog } from './command.ts';
import { listenTo, ping } from './store/listen.ts';

export interface ListenerOptions {
  connection: ClientConfig;
  /** A plain identifier. */
  channel: string;
  /** For each notification, with its payload; and with null for each new connection. */
  onWake: (payload: string | null) => void;
  log: CommandLog;
}

export interface Listener {
  close(): Promise<void>;
}

/** A connection whose peer vanished says nothing, for hours; so it is asked. */
const PING_INTERVAL_MS = 5_000;
const PING_TIMEOUT_MS = 5_000;
const MAX_RECONNECT_DELAY_MS = 5_000;

export function listen(options: ListenerOptions): Listener {
  return new ReconnectingListener(options);
}

class ReconnectingListener implements Listener {
  readonly #options: ListenerOptions;
  #client: Client | null = null;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #failures = 0;

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
    const { connection, channel, onWake } = this.#options;
    const client = new Client({
      ...connection,
      application_name: 'inbox listener',
      connectionTimeoutMillis: PING_TIMEOUT_MS,
      query_timeout: PING_TIMEOUT_MS,
      keepAlive: true,
    });
    this.#client = client;
    const lost = (error: Error) => this.#reconnect(client, error);
    client.on('error', lost);
    client.on('end', () => lost(new Error('the connection ended')));
    client.on('notification', ({ payload }) => onWake(payload ?? ''));
    try {
      await client.connect();
      await listenTo(client, channel);
      this.#failures = 0;
      onWake(null);
      this.#pingLater(client);
    } catch (error) {
      lost(error as Error);
    }
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
    this.#options.log.warn('listening for new entries was interrupted; sweeps go on', { error, delayMs });
    this.#timer = setTimeout(() => void this.#connect(), delayMs);
  }
}
