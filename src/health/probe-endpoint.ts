/**
 * The probes of a worker that runs in a program of its own, for that program's HTTP server.
 *
 * @module
 */
import { livezAnswer, readyzAnswer } from './probes.ts';
import type { ProbeAnswer, Readiness } from './probes.ts';

/**
 * Creates a handler for requests whose path ends with `/livez` or `/readyz`; it answers all others with 404. Metrics come
 * from the program's own OpenTelemetry SDK.
 *
 * @param worker - what `createInboxWorker` resolves to
 * @example
 * createServer(toNodeListener(probeEndpoint(worker))).listen(9464, '127.0.0.1');
 */
export function probeEndpoint(worker: {
  readiness(): Promise<Readiness>;
}): (request: Request) => Promise<Response> {
  return async ({ url }) => {
    const { pathname } = new URL(url);
    if (pathname.endsWith('/livez')) return respond(livezAnswer());
    if (pathname.endsWith('/readyz')) return respond(readyzAnswer(await worker.readiness()));
    return new Response('try /livez or /readyz\n', { status: 404 });
  };
}

function respond({ status, body }: ProbeAnswer): Response {
  return Response.json(body, { status, headers: { 'cache-control': 'no-store' } });
}
