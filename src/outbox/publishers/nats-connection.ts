/**
 * The packages of NATS, which are optional, and the connection of the publisher.
 *
 * @module
 */
import type * as jetstream from '@nats-io/jetstream';
import type * as transport from '@nats-io/transport-node';
import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node';
import { ConfigurationError, PublishError } from '../../core/errors.ts';

/** One of the two. */
export interface NatsConnectionChoice {
  /** `nats://user:password@host:4222`, `tls://…`, or several: those of one cluster. */
  servers?: string | string[];
  /** Instead of `servers`: a connection that the caller opened, and closes. */
  connection?: NatsConnection;
}

const CONNECT_TIMEOUT_MS = 5_000;

export type Libraries = Pick<typeof transport, 'connect' | 'errors' | 'headers'> &
  Pick<typeof jetstream, 'jetstream' | 'JetStreamApiError'>;

/** @throws ConfigurationError when they are not installed */
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
 * The caller's connection, or one of our own that is opened anew after every failure.
 *
 * @throws ConfigurationError when there is none to choose
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
    // What is wrong with them is said at once, not with the first event.
    if (options.servers !== undefined) connectionOptions(options.servers);
  }

  async get(): Promise<NatsConnection> {
    if (this.#options.connection) return this.#options.connection;
    if (this.#own && !this.#own.isClosed()) return this.#own;
    // Calls at the same time share one attempt.
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
        `NATS does not let us in at ${host}: ${error instanceof Error ? error.message : 'unknown'}`,
        { cause: error, unavailable: true },
      );
    }
  }

  /** Closes our own connection, if it is still this one; without an argument, whichever it is. */
  async drop(connection: NatsConnection | null = this.#own): Promise<void> {
    if (connection === null || connection !== this.#own) return;
    this.#own = null;
    await connection.close();
  }
}

/** The library takes credentials beside its servers, not in their URLs. `host` is what may be shown. */
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
    // The relay backs off and tries again; what the library kept for a reconnect would be sent twice.
    reconnect: false,
    // A network that went silent is found out within half a minute.
    pingInterval: 10_000,
    maxPingOut: 2,
    ...(username ? { user: username, pass: password } : {}),
    ...(protocol === 'tls:' ? { tls: {} } : {}),
  };
}

function parseServer(server: string): { host: string; protocol: string; username: string; password: string } {
  const text = server.includes('://') ? server.trim() : `nats://${server.trim()}`;
  const url = URL.canParse(text) ? new URL(text) : null;
  // A path is the rest of a password with a slash in it; its beginning would count as the host.
  const rest = url && url.pathname + url.search + url.hash;
  if (!url?.host || !['nats:', 'tls:'].includes(url.protocol) || !['', '/'].includes(rest ?? '')) {
    throw new ConfigurationError(
      'natsPublisher: a server must look like nats://host:4222 or tls://host:4222; in a user or password write %2F for /, %3F for ? and %23 for #',
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
      'natsPublisher: the user or password of a server has a % that is no escape; write %25 for it',
    );
  }
}
