/**
 * The problem that a client sees for an error.
 *
 * @module
 */
import {
  IdempotencyConflictError,
  InboxClosedError,
  InvalidMessageError,
  MessageLockedError,
  ResultTimeoutError,
} from '../core/errors.ts';
import type { InvalidField } from '../core/errors.ts';
import { errorChain, sqlStateOf } from '../platform/error-chain.ts';
import { isDatabaseUnavailable } from '../platform/postgres-errors.ts';
import { HttpProblem, problem } from './problem.ts';
import { WebhookVerificationError } from './webhook-verifier.ts';

/** Long enough for a failover to complete, short enough that a client keeps waiting. */
const RETRY_AFTER_SECONDS = 2;

/** @param method - of the request, because a read cannot have been accepted */
export function problemOf(error: unknown, method: string): HttpProblem {
  if (error instanceof HttpProblem) return error;
  if (error instanceof WebhookVerificationError) {
    return problem('invalid-signature', error.reason, { headers: { 'www-authenticate': 'Signature' } });
  }
  if (error instanceof IdempotencyConflictError) {
    return problem(
      'idempotency-key-reused',
      'this Idempotency-Key was used for a different request, which is unchanged; use a new key for a new request',
    );
  }
  if (error instanceof InvalidMessageError) return invalidPayload(error.problems);
  if (error instanceof MessageLockedError) {
    return unavailable('another transaction is about to accept this request; send it again');
  }
  if (error instanceof InboxClosedError) return unavailable('this server is shutting down; send it again');
  if (error instanceof ResultTimeoutError || isTransient(error)) {
    return unavailable(
      method === 'POST'
        ? 'it is not known whether this request was accepted; send it again unchanged'
        : 'the status cannot be read at the moment; ask again',
    );
  }
  return problem('internal', 'internal error, which was logged; you can send the request again unchanged');
}

function unavailable(detail: string): HttpProblem {
  return problem('unavailable', detail, { headers: { 'retry-after': String(RETRY_AFTER_SECONDS) } });
}

function invalidPayload(problems: readonly InvalidField[]): HttpProblem {
  const errors = problems.map(({ field, problem: what }) => ({ field: nameInBody(field), problem: what }));
  const detail = errors.map((each) => `${each.field}: ${each.problem}`).join('; ');
  return problem('invalid-payload', detail, { members: { errors } });
}

/** Clients know the payload as the body: `payload.items.0` is `items.0` there. */
function nameInBody(field: string): string {
  return field.replace(/^payload(?=$|\[)/, 'body').replace(/^payload\./, '');
}

/**
 * SQLSTATEs with which Postgres ended a statement that may succeed the next time: serialization failure, deadlock, lock
 * timeout, statement timeout, timeouts of a transaction.
 *
 * Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const WORTH_REPEATING = new Set(['40001', '40P01', '55P03', '57014', '25P03', '25P04']);

/** The error may come from any client or ORM, with Postgres's own error as its cause. */
function isTransient(error: unknown): boolean {
  return errorChain(error).some(
    (each) => isDatabaseUnavailable(each) || WORTH_REPEATING.has(sqlStateOf(each) ?? ''),
  );
}

/**
 * Runs the hook that turns a body into messages. If a schema's own `parse` throws there, the body is invalid.
 *
 * @throws HttpProblem 400 for such an error; any other error as it is
 */
export async function refusingIssues<T>(hook: () => T | Promise<T>): Promise<T> {
  try {
    return await hook();
  } catch (error) {
    const issues = issuesOf(error);
    throw issues ? invalidPayload(issues) : error;
  }
}

/** Reads the issues of an error that a schema's own `parse` has thrown, such as ZodError and ValiError. */
function issuesOf(error: unknown): InvalidField[] | null {
  const issues = (error as { issues?: unknown } | null)?.issues;
  if (!(error instanceof Error) || !Array.isArray(issues) || issues.length === 0) return null;
  return issues.map((issue: { path?: unknown; message?: unknown } | null) => ({
    field: Array.isArray(issue?.path) ? issue.path.map(keyOf).join('.') || 'body' : 'body',
    problem: typeof issue?.message === 'string' ? issue.message : 'is invalid',
  }));
}

/** A part of a path is a key or, in Valibot and Standard Schema, an object with a key. */
function keyOf(segment: unknown): string {
  return String((segment as { key?: unknown } | null)?.key ?? segment);
}
