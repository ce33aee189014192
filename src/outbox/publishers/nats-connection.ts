/**
 * Loads the NATS packages, which are optional, and manages the publisher's connection.
 *
 * @module
 */
import type * as jetstream from '@nats-io/jetstream';
import type * as transport from '@nats-io/transport-node';
import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node';
import { ConfigurationError, PublishError } from '../../core/errors.ts';

/** Set exactly one of the two. */
export interface NatsConnectionChoice {
  /** `nats://user:password@host:4222` or `tls://…`; several URLs must belong to one cluster. */
  servers?: string | string[];
  /** Instead of `servers`: a connection that the caller opened and will close. */
  connection?: NatsConnection;
}

const CONNECT_TIMEOUT_MS = 5_000;

export type Libraries = Pick<typeof transport, 'connect' | 'errors' | 'headers'> &
  Pick<typeof jetstream, 'jetstream' | 'JetStreamApiError'>;

/** @throws ConfigurationError if the packages are not installed */
export async function loadLibraries(): Promise<Libraries> {
  try {
    const { connect, errors, headers } = await import('@nats-io/transport-node');
    const { jetstream: client, JetStreamApiError } = await import('@nats-io/jetstream');
    return { connect, errors, headers, jetstream: client, JetStreamApiError };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new ConfigurationError(
      'the NATS publisher needs two more packages: npm install @nats-io/transport-node @nats-io/jetstream',
      { cause: error },
    );
  }
}

/**
 * Provides the caller's connection, or its own connection, which it reopens after every failure.
 *
 * @throws ConfigurationError unless exactly one of `servers` and `connection` is set
 */
export class Connections {
  readonly #libraries: Libraries;
  readonly #options: NatsConnectionChoice;
  #own: NatsConnection | null = null;
  #connecting: Promise<NatsConnection> | null = null;

  constructor(libraries: Libraries, options: NatsConnectionChoice) {
    this.#libraries = libraries;
    this.#options = options;
    if ((options.servers === undefined) === (options.connection === undefined)) {
      throw new ConfigurationError('natsPublisher: give either servers or a connection');
    }
    // Reports invalid servers immediately instead of with the first event.
    if (options.servers !== undefined) connectionOptions(options.servers);
  }

  async get(): Promise<NatsConnection> {
    if (this.#options.connection) return this.#options.connection;
    if (this.#own && !this.#own.isClosed()) return this.#own;
    // Concurrent calls share one connection attempt.
    this.#connecting ??= this.#connect().finally(() => (this.#connecting = null));
    return this.#connecting;
  }

  async #connect(): Promise<NatsConnection> {
    const { host, ...options } = connectionOptions(this.#options.servers!);
    try {
      this.#own = await this.#libraries.connect(options);
      return this.#own;
    } catch (error) {
      throw new PublishError(
        `could not connect to NATS at ${host}: ${error instanceof Error ? error.message : 'unknown'}`,
        { cause: error, unavailable: true },
      );
    }
  }

  /** Closes the given connection if it is our current one. Without an argument, closes our current connection. */
  async drop(connection: NatsConnection | null = this.#own): Promise<void> {
    if (connection === null || connection !== this.#own) return;
    this.#own = null;
    await connection.close();
  }
}

/** The library takes credentials as separate options, not in the URLs. `host` is safe to log. */
function connectionOptions(servers: string | string[]): NodeConnectionOptions & { host: string } {
  const urls = [servers]
    .flat()
    .flatMap((server) => server.split(','))
    .map(parseServer);
  const { username, password, protocol } = urls[0]!;
  const hosts = urls.map(({ host }) => host);
  return {
    host: hosts.join(','),
    servers: hosts,
    name: 'temporal-inbox outbox relay',
    timeout: CONNECT_TIMEOUT_MS,
    // The relay does the retries. Messages that the library kept for a reconnect would be sent twice.
    reconnect: false,
    // Detects a silent network within half a minute.
    pingInterval: 10_000,
    maxPingOut: 2,
    ...(username ? { user: username, pass: password } : {}),
    ...(protocol === 'tls:' ? { tls: {} } : {}),
  };
}

function parseServer(server: string): { host: string; protocol: string; username: string; password: string } {
  const text = server.includes('://') ? server.trim() : `nats://${server.trim()}`;
  const url = URL.canParse(text) ? new URL(text) : null;
  // A path means that the password has an unescaped slash: its first part would be taken for the host.
  const rest = url && url.pathname + url.search + url.hash;
  if (!url?.host || !['nats:', 'tls:'].includes(url.protocol) || !['', '/'].includes(rest ?? '')) {
    throw new ConfigurationError(
      'natsPublisher: a server must look like nats://host:4222 or tls://host:4222; in a user or password, write %2F for /, %3F for ? and %23 for #',
    );
  }
  const { host, protocol } = url;
  try {
    return {
      host,
      protocol,
      username: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
    };
  } catch {
    throw new ConfigurationError(
      'natsPublisher: the user or password of a server has a % that starts no escape sequence; write it as %25',
    );
  }
}
