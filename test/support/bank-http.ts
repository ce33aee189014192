/**
 * A client for the bank example's HTTP API.
 *
 * @module
 */
import assert from 'node:assert/strict';
import type { HttpServer } from '../../examples/bank/http-server.ts';
import type { Json } from '../../src/core/json.ts';

export const transfer = { from: 'alice', to: 'bob', amountCents: 5 };

export interface Answer {
  status: number;
  headers: Headers;
  body: { [name: string]: Json };
}

export async function ask(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? {} : (JSON.parse(text) as Answer['body']),
  };
}

export function post(
  server: HttpServer,
  key: string,
  body: unknown = transfer,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return ask(`${server.url}/transfers`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

export function assertProblem({ headers, body, status }: Answer, expected: number, code: string): void {
  assert.equal(status, expected, JSON.stringify(body));
  assert.equal(headers.get('content-type'), 'application/problem+json');
  assert.equal(body['type'], `tag:bank.example,2026:${code}`);
  assert.equal(body['status'], expected);
}
