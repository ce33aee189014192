/**
 * Problems: answers that tell a client what went wrong, as `application/problem+json`.
 *
 * Source: RFC 9457.
 *
 * @module
 */
import { STATUS_CODES } from 'node:http';
import { ConfigurationError } from '../core/errors.ts';
import type { JsonObject } from '../core/json.ts';

/**
 * An answer with an error, for hooks to throw. The client sees all of it, so it must not contain anything that the client
 * may not know.
 *
 * @example
 * throw new HttpProblem(403, 'not-your-account', 'this account belongs to another customer');
 */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem';

  /** @throws ConfigurationError for a status that is not from 400 to 599 */
  constructor(
    readonly status: number,
    /** Names the kind of problem, for programs. It becomes part of the member `type`. */
    readonly code: string,
    /** Explains this occurrence of the problem, for people. */
    detail: string,
    readonly extras: ProblemExtras = {},
  ) {
    super(detail);
    if (Number.isInteger(status) && status >= 400 && status <= 599) return;
    throw new ConfigurationError(`HttpProblem: status (${status}) must be a whole number from 400 to 599`);
  }
}

export interface ProblemExtras {
  /** Names the kind of problem, for people. Default: the standard phrase of the status. */
  title?: string;
  headers?: Record<string, string>;
  /** Additional members of the body. */
  members?: JsonObject;
}

/** Returns the URI for a problem code. */
export type ProblemType = (code: string) => string;

/** The problems that the endpoints answer with. docs/http.md has a heading for each. */
const KINDS = {
  'idempotency-key-missing': { status: 400, title: 'Idempotency-Key is missing' },
  'idempotency-key-invalid': { status: 400, title: 'Idempotency-Key is invalid' },
  'idempotency-key-reused': { status: 422, title: 'Idempotency-Key is already used' },
  'invalid-json': { status: 400, title: 'The body is not JSON' },
  'invalid-payload': { status: 400, title: 'The payload is invalid' },
  incomplete: { status: 400, title: 'The body is incomplete' },
  'invalid-signature': { status: 401, title: 'The signature cannot be verified' },
  'not-found': { status: 404, title: 'Not found' },
  'method-not-allowed': { status: 405, title: 'Method not allowed' },
  'event-changed': { status: 409, title: 'The event differs from its first delivery' },
  'too-large': { status: 413, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, title: 'Unsupported media type' },
  internal: { status: 500, title: 'Internal error' },
  unavailable: { status: 503, title: 'Temporarily unavailable' },
} as const;

export type ProblemCode = keyof typeof KINDS;
export const PROBLEM_CODES = Object.keys(KINDS) as ProblemCode[];

/** One of the endpoints' own problems. */
export function problem(code: ProblemCode, detail: string, extras: ProblemExtras = {}): HttpProblem {
  const { status, title } = KINDS[code];
  return new HttpProblem(status, code, detail, { title, ...extras });
}

const DOCUMENTATION = 'https://github.com/temporal-inbox/temporal-inbox/blob/main/docs/http.md';

/** The draft of the Idempotency-Key header asks for a link to the documentation. */
export const documentedType: ProblemType = (code) => `${DOCUMENTATION}#${code}`;

/** Returns the members of the problem's body. */
export function problemBody({ status, code, message, extras }: HttpProblem, typeOf: ProblemType): JsonObject {
  return {
    type: typeOf(code),
    title: extras.title ?? STATUS_CODES[status] ?? 'Error',
    status,
    detail: message,
    ...extras.members,
  };
}
