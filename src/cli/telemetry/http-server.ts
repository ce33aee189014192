/**
 * Serves the metrics and probes of a worker: `/metrics`, `/livez` and `/readyz`.
 *
 * @module
 */
import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CommandLog } from '../../core/command-log.ts';
import type { ProbeAnswer } from '../../health/probes.ts';
import { urlHost } from './http-address.ts';
import type { HttpAddress } from './http-address.ts';

export interface HttpSources {
  /** The metrics in Prometheus's text format; null if there are none to serve. */
  metrics: () => Promise<string | null>;
  livez: () => ProbeAnswer;
  readyz: () => Promise<ProbeAnswer>;
}

export interface RunningServer {
  close(): Promise<void>;
}

/** How often a server whose port is in use tries again, for example until the worker that this one replaces has ended. */
const LISTEN_AGAIN_MS = 5_000;
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Starts the server. Commands are handled even while it cannot listen; then it logs why, once, and tries again. */
export function serveHttp(address: HttpAddress, sources: HttpSources, log: CommandLog): RunningServer {
  const server = createServer((request, response) => {
    answer(sources, request.method ?? 'GET', request.url ?? '/', response).catch((error: unknown) => {
      log.warn('a request for metrics or a probe failed', { path: request.url, error });
      if (response.headersSent) response.destroy();
      else respond(response, 500, 'text/plain', 'failed; the log of the worker says why\n');
    });
  });
  let again: NodeJS.Timeout | undefined;
  let isReported = false;
  const listen = () => server.listen(address.port, address.host);
  server.on('listening', () => {
    const { address: host, port } = server.address() as AddressInfo;
    log.info('serving /metrics, /livez and /readyz', { address: `http://${urlHost(host)}:${port}` });
  });
  server.on('error', (error) => {
    if (!isReported) {
      const problem =
        'metrics and probes cannot be served; trying again every 5 s, and commands are handled meanwhile';
      log.error(problem, { ...address, error });
    }
    isReported = true;
    again = setTimeout(listen, LISTEN_AGAIN_MS).unref();
  });
  listen();
  // The worker keeps the process alive, not this server.
  server.unref();
  return {
    close: () => {
      clearTimeout(again);
      return closeServer(server);
    },
  };
}

async function answer(
  { metrics, livez, readyz }: HttpSources,
  method: string,
  url: string,
  response: ServerResponse,
): Promise<void> {
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    respond(response, 405, 'text/plain', 'allowed methods: GET, HEAD\n');
    return;
  }
  switch (url.split('?', 1)[0]) {
    case '/metrics': {
      const text = await metrics();
      if (text === null)
        respond(response, 404, 'text/plain', 'this worker has no metrics; its log says why\n');
      else respond(response, 200, METRICS_TYPE, text);
      return;
    }
    case '/livez':
      return respondProbe(response, livez());
    case '/readyz':
      return respondProbe(response, await readyz());
    default:
      respond(response, 404, 'text/plain', 'try /metrics, /livez or /readyz\n');
  }
}

function respondProbe(response: ServerResponse, { status, body }: ProbeAnswer): void {
  respond(response, status, 'application/json', `${JSON.stringify(body)}\n`);
}

function respond(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(text);
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
