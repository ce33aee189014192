/** The bridge from Node's own server to handlers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, createServer, request as startRequest } from 'node:http';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, it } from 'node:test';
import { toNodeListener } from '../../../src/http/index.ts';
import type { HttpHandler } from '../../../src/http/index.ts';
import { createLog } from '../../../src/platform/log.ts';
import { eventually } from '../../support/wait.ts';

/** Sends these lines and returns the first line of the answer. */
async function raw(port: number, ...request: string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(`${request.join('\r\n')}\r\nconnection: close\r\n\r\n`);
  return (await text(socket)).split('\r\n')[0]!;
}

describe('toNodeListener', () => {
  let server: Server | undefined;
  const lines: string[] = [];
  const log = createLog('debug', (line) => lines.push(line));

  afterEach(async () => {
    server?.close();
    server?.closeAllConnections();
    if (server) await once(server, 'close');
    server = undefined;
    lines.length = 0;
  });

  async function serve(listener: RequestListener): Promise<number> {
    server = createServer(listener).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }
  const serveHandler = (handler: HttpHandler) => serve(toNodeListener(handler, { log }));

  it('passes on method, address, headers and body, and the answer with its cookies', async () => {
    const port = await serveHandler(async (request) => {
      const { pathname, search, host } = new URL(request.url);
      const seen = {
        method: request.method,
        pathname,
        search,
        host,
        header: request.headers.get('x-a'),
      };
      const headers = new Headers({ 'x-seen': JSON.stringify(seen) });
      headers.append('set-cookie', 'a=1');
      headers.append('set-cookie', 'b=2');
      return new Response(`${await request.text()} and more`, { status: 418, headers });
    });
    const body = 'é'.repeat(100_000);
    const response = await fetch(`http://127.0.0.1:${port}/a%20b?c=d`, {
      method: 'PUT',
      body,
      headers: { 'x-a': '1' },
    });
    assert.equal(response.status, 418);
    assert.deepEqual(JSON.parse(response.headers.get('x-seen') ?? ''), {
      method: 'PUT',
      pathname: '/a%20b',
      search: '?c=d',
      host: `127.0.0.1:${port}`,
      header: '1',
    });
    assert.equal(response.headers.get('content-length'), String(Buffer.byteLength(`${body} and more`)));
    assert.equal(await response.text(), `${body} and more`);
    assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2']);
  });

  it('uses the whole address if a framework has shortened it', async () => {
    const listener = toNodeListener((request) => Promise.resolve(new Response(request.url)));
    const port = await serve((request, response) => {
      const { url } = request;
      Object.assign(request, { originalUrl: url, url: '/' });
      listener(request, response);
    });
    const url = `http://127.0.0.1:${port}/api/orders?a`;
    assert.equal(await (await fetch(url)).text(), url);
  });

  it('answers 400 to what the web’s Request cannot represent', async () => {
    const port = await serveHandler((request) => Promise.resolve(new Response(request.url)));
    for (const host of ['a/b', 'user@host', 'a b', '', '[::1'])
      assert.match(await raw(port, 'GET /orders HTTP/1.1', `host: ${host}`), /^HTTP\/1\.1 400/);
    assert.match(await raw(port, 'GET http://host/orders HTTP/1.1', 'host: host'), /^HTTP\/1\.1 400/);
    assert.match(await raw(port, 'TRACE / HTTP/1.1', 'host: host'), /^HTTP\/1\.1 400/);
    for (const host of ['host', 'host:80', '[::1]:80', '127.0.0.1'])
      assert.match(await raw(port, 'GET //evil/orders HTTP/1.1', `host: ${host}`), /^HTTP\/1\.1 200/);
    assert.match(await raw(port, 'GET /orders HTTP/1.0'), /^HTTP\/1\.1 200/);
  });

  it('answers 500 if a handler fails, and logs no message', async () => {
    const port = await serveHandler(() => Promise.reject(new TypeError('about card-4711')));
    const response = await fetch(`http://127.0.0.1:${port}/`);
    assert.deepEqual([response.status, await response.text()], [500, '']);
    assert.match(lines[0]!, /ERROR a handler failed error=TypeError/);
    assert.doesNotMatch(lines[0]!, /card/);
  });

  it('says that the body was read before', async () => {
    let problem: unknown;
    const listener = toNodeListener(async (request) => {
      await request.text().catch((error: unknown) => (problem = error));
      return new Response();
    });
    const port = await serve((request, response) => {
      void text(request).then(() => listener(request, response));
    });
    await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: '{}' });
    assert.match(String(problem), /ConfigurationError: the body was read before it came to toNodeListener/);
  });

  it('keeps the connection if the handler does not read the body, or not all of it', async () => {
    const port = await serveHandler(async (request) => {
      if (request.headers.has('x-part')) {
        const reader = request.body!.getReader();
        await reader.read();
        reader.releaseLock();
      }
      return new Response(null, { status: 204 });
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    let connections = 0;
    server!.on('connection', () => (connections += 1));
    for (const headers of [{}, { 'x-part': '1' }, {}]) {
      const sending = startRequest(`http://127.0.0.1:${port}/`, { method: 'POST', agent, headers });
      sending.end('x'.repeat(3_000_000));
      const [response] = (await once(sending, 'response')) as [IncomingMessage];
      assert.equal(response.statusCode, 204);
      await text(response);
      if (!sending.writableFinished) await once(sending, 'finish');
    }
    assert.equal(connections, 1);
    agent.destroy();
  });

  it('aborts the signal when the client disconnects, and only then', async () => {
    const signals: AbortSignal[] = [];
    const port = await serveHandler((request) => {
      signals.push(request.signal);
      const isSlow = request.url.endsWith('/slow');
      return new Promise((resolve) => {
        if (!isSlow) resolve(new Response());
        request.signal.addEventListener('abort', () => resolve(new Response()));
      });
    });
    await (await fetch(`http://127.0.0.1:${port}/fast`)).text();
    const client = new AbortController();
    const lost = fetch(`http://127.0.0.1:${port}/slow`, { signal: client.signal });
    await eventually('the handler runs', () => signals.length === 2);
    client.abort();
    await assert.rejects(lost);
    await eventually('the signal is aborted', () => signals[1]!.aborted);
    assert.equal(signals[0]!.aborted, false);
  });
});
