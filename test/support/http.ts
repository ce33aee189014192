/**
 * An HTTP client for tests.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import type { Json } from '../../src/core/json.ts';
import { documentedType } from '../../src/http/problem.ts';
import type { ProblemType } from '../../src/http/problem.ts';

export interface Answer {
  status: number;
  headers: Headers;
  body: { [name: string]: Json };
}

export async function ask(url: string, init: RequestInit = {}): Promise<Answer> {
  return read(await fetch(url, init));
}

export async function read(response: Response): Promise<Answer> {
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? {} : (JSON.parse(text) as Answer['body']),
  };
}

export function assertProblem(
  { headers, body, status }: Answer,
  expected: number,
  code: string,
  typeOf: ProblemType = documentedType,
): void {
  assert.equal(status, expected, JSON.stringify(body));
  assert.equal(headers.get('content-type'), 'application/problem+json');
  assert.equal(body['type'], typeOf(code));
  assert.equal(body['status'], expected);
  assert.equal(typeof body['detail'], 'string');
}

/** Sends a request that announces more bytes than it has, and leaves the connection open. */
export async function sendTruncated(
  port: number,
  path: string,
  headers: Record<string, string>,
  body: string,
): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  const lines = Object.entries({
    host: 'localhost',
    'content-length': String(body.length + 100),
    ...headers,
  });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  await new Promise((resolve) => socket.write(`POST ${path} HTTP/1.1\r\n${head}\r\n${body}`, resolve));
  return socket;
}
