/**
 * Starts the HTTP server and stops it gracefully.
 *
 * @module
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInbox } from 'temporal-inbox';
import { toNodeListener } from 'temporal-inbox/http';
import { createHttpApi } from './http-api.ts';
import type { HttpApiOptions } from './http-api.ts';

export interface HttpServer {
  /** The base URL, without a trailing slash. */
  url: string;
  /** Accepts no new connections and answers pending requests within the limit. The pool stays open. */
  stop(limitMs?: number): Promise<void>;
}

export interface HttpServerOptions extends Omit<HttpApiOptions, 'inbox'> {
  /** Default: a free port. */
  port?: number;
}

/** How long a complete request may take to arrive. */
const REQUEST_TIMEOUT_MS = 10_000;
const DEFAULT_STOP_LIMIT_MS = 10_000;

/**
 * Listens on loopback only, because the API has no authentication. Requires the inbox's schema and the bank's schema.
 *
 * @throws ConfigurationError for an invalid secret of the payment provider
 */
export async function startHttpServer({ port = 0, ...options }: HttpServerOptions): Promise<HttpServer> {
  const inbox = await createInbox({ pool: options.pool, log: options.log });
  const listener = toNodeListener(createHttpApi({ ...options, inbox }), { log: options.log });
  const pendingResponses = new Set<ServerResponse>();
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    pendingResponses.add(response);
    response.on('close', () => pendingResponses.delete(response));
    // stop() misses a connection that has just answered and is not idle yet. It would stay open while the client uses it.
    if (!server.listening) response.setHeader('connection', 'close');
    listener(request, response);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop(limitMs = DEFAULT_STOP_LIMIT_MS) {
      const closed = once(server, 'close');
      server.close();
      // close() ended idle connections. Pending ones end with their response, so that no client sends another request.
      for (const response of pendingResponses)
        if (!response.headersSent) response.setHeader('connection', 'close');
      const timer = setTimeout(() => server.closeAllConnections(), limitMs);
      await closed;
      clearTimeout(timer);
      await inbox.close();
    },
  };
}
