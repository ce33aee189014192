/** An endpoint in a plugin of Fastify, beside routes whose bodies Fastify parses. */
import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import fastify from 'fastify';
import { toNodeListener } from '../../../src/http/index.ts';

describe('an endpoint in a plugin of Fastify', () => {
  it('gets its bodies unread, and other routes get theirs parsed', async () => {
    const app = fastify();
    app.post('/parsed', (request, reply) => reply.send({ parsed: request.body }));
    await app.register(async (scope) => {
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
      const listener = toNodeListener(async (request) => Response.json({ unread: await request.text() }));
      scope.all('/orders', (request, reply) => {
        reply.hijack();
        listener(request.raw, reply.raw);
      });
    });
    await app.listen({ port: 0, host: '127.0.0.1' });
    const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
    const post = async (path: string): Promise<unknown> => {
      const headers = { 'content-type': 'application/json' };
      return (await fetch(`${url}${path}`, { method: 'POST', headers, body: '{ "a" : 1 }' })).json();
    };
    assert.deepEqual(await post('/parsed'), { parsed: { a: 1 } });
    assert.deepEqual(await post('/orders'), { unread: '{ "a" : 1 }' });
    await app.close();
  });
});
