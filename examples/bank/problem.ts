/**
 * Responses of an HTTP API: JSON, and `application/problem+json` for errors.
 *
 * @module
 */
import { STATUS_CODES } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { JsonObject } from 'temporal-inbox';

/**
 * An error response for the client. Programs read its type; people read its detail.
 *
 * Source: RFC 9457. The types are tags (RFC 4151): names, not addresses.
 */
export class Problem extends Error {
  override readonly name = 'Problem';

  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    /** Additional headers and body members. */
    readonly extras: { headers?: Record<string, string>; members?: JsonObject } = {},
  ) {
    super(detail);
  }

  get body(): JsonObject {
    return {
      type: `tag:bank.example,2026:${this.code}`,
      title: STATUS_CODES[this.status] ?? 'Error',
      status: this.status,
      detail: this.message,
      ...this.extras.members,
    };
  }
}

export function replyProblem(response: ServerResponse, problem: Problem): void {
  reply(response, problem.status, problem.body, {
    'content-type': 'application/problem+json',
    ...problem.extras.headers,
  });
}

export function reply(
  response: ServerResponse,
  status: number,
  body: JsonObject,
  headers: Record<string, string> = {},
): void {
  const all = {
    'content-type': 'application/json',
    // A transfer's status changes over time, so intermediaries must not cache it.
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  };
  for (const [name, value] of Object.entries(all)) response.setHeader(name, value);
  response.statusCode = status;
  response.end(JSON.stringify(body));
}
