/**
 * Serves handlers from Hono, Fastify and Node's own server, as docs/http.md describes it.
 *
 * @module
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from '@hono/node-server';
import fastify from 'fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Hono } from 'hono';
import { toNodeListener } from '../../src/http/index.ts';
import type { HttpHandler } from '../../src/http/index.ts';

export interface TestHttpServer {
  /** Without a slash at the end. */
  url: string;
  port: number;
  close(): Promise<void>;
}

/** Handlers by the path that they serve, with everything below it. */
export type Routes = Record<string, HttpHandler>;

async function serveFromHono(routes: Routes): Promise<TestHttpServer> {
  // It replaces these globals of the process, which has other tests.
  const { Request: ownRequest, Response: ownResponse } = globalThis;
  const app = new Hono();
  for (const [path, handler] of Object.entries(routes)) app.all(`${path}/*`, (c) => handler(c.req.raw));
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Server;
  await listening(server);
  return running(server, async () => {
    Object.defineProperty(globalThis, 'Request', { value: ownRequest });
    Object.defineProperty(globalThis, 'Response', { value: ownResponse });
  });
}

async function serveFromFastify(routes: Routes): Promise<TestHttpServer> {
  const app = fastify();
  // The body stays unread until the handler reads it.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  for (const [path, handler] of Object.entries(routes)) {
    const listener = toNodeListener(handler);
    const route = (request: FastifyRequest, reply: FastifyReply) => {
      reply.hijack();
      listener(request.raw, reply.raw);
    };
    app.all(path, route);
    app.all(`${path}/*`, route);
  }
  await app.listen({ port: 0, host: '127.0.0.1' });
  return running(app.server);
}

async function serveFromNode(routes: Routes): Promise<TestHttpServer> {
  const listener = toNodeListener((request) => {
    const { pathname } = new URL(request.url);
    const [, handler] = Object.entries(routes).find(
      ([path]) => pathname === path || pathname.startsWith(`${path}/`),
    )!;
    return handler(request);
  });
  const server = createServer(listener).listen(0, '127.0.0.1');
  await listening(server);
  return running(server);
}

/** How to serve from each of them. */
export const SERVERS: Record<string, (routes: Routes) => Promise<TestHttpServer>> = {
  Hono: serveFromHono,
  Fastify: serveFromFastify,
  'Node’s own server': serveFromNode,
};

async function listening(server: Server): Promise<void> {
  if (!server.listening) await once(server, 'listening');
}

function running(server: Server, afterwards = async () => {}): TestHttpServer {
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
      await afterwards();
    },
  };
}
