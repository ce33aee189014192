/**
 * Listens, and ends in good order.
 *
 * @module
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInbox } from '../../src/sending/inbox.ts';
import { createHttpApi } from './http-api.ts';
import type { HttpApiOptions } from './http-api.ts';

export interface HttpServer {
  /** Without a slash at its end. */
  url: string;
  /** Takes no more connections; what is under way gets its answer, within the limit. The pool stays open. */
  stop(limitMs?: number): Promise<void>;
}

export interface HttpServerOptions extends Pick<HttpApiOptions, 'pool' | 'log'> {
  /** Default: a free one. */
  port?: number;
}

/** For one whole request to arrive. */
const REQUEST_TIMEOUT_MS = 10_000;
const DEFAULT_STOP_LIMIT_MS = 10_000;

/** On loopback only: nobody is asked who they are. The database must have the inbox's schema and the bank's. */
export async function startHttpServer({ pool, log, port = 0 }: HttpServerOptions): Promise<HttpServer> {
  const inbox = await createInbox({ pool, log });
  const api = createHttpApi({ pool, inbox, log });
  const underWay = new Set<ServerResponse>();
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    underWay.add(response);
    response.on('close', () => underWay.delete(response));
    // Of a connection that was between answer and idle when stop() looked: it would go on for as long as it is used.
    if (!server.listening) response.setHeader('connection', 'close');
    api(request, response);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop(limitMs = DEFAULT_STOP_LIMIT_MS) {
      const closed = once(server, 'close');
      server.close();
      // Idle connections are closed now, these with their answer: else a client's next request would meet nobody.
      for (const response of underWay) if (!response.headersSent) response.setHeader('connection', 'close');
      const timer = setTimeout(() => server.closeAllConnections(), limitMs);
      await closed;
      clearTimeout(timer);
      await inbox.close();
    },
  };
}
