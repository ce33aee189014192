/**
 * A client for the bank example's HTTP API.
 *
 * @module
 */
import type { HttpServer } from '../../examples/bank/http-server.ts';
import { ask, assertProblem as assertProblemOfType } from './http.ts';
import type { Answer } from './http.ts';

export { ask };
export type { Answer };

export const transfer = { from: 'alice', to: 'bob', amountCents: 5 };

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

export function assertProblem(answer: Answer, expected: number, code: string): void {
  assertProblemOfType(answer, expected, code, (name) => `tag:bank.example,2026:${name}`);
}
