import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DatabaseError } from 'pg';
import {
  ConfigurationError,
  IdempotencyConflictError,
  InboxClosedError,
  InvalidMessageError,
  MessageLockedError,
  ResultTimeoutError,
} from '../../../src/core/errors.ts';
import { HttpProblem, WebhookVerificationError } from '../../../src/http/index.ts';
import { problemOf } from '../../../src/http/problem-of-error.ts';

const SECRET = 'card-4711';

/** An error as the server reports it: it always names the routine. */
function databaseError(state: string): DatabaseError {
  const error = new DatabaseError(`about ${SECRET}`, 1, 'error');
  return Object.assign(error, { code: state, routine: 'ExecConstraints' });
}

describe('the problem of an error', () => {
  for (const [error, status, code] of [
    [new HttpProblem(418, 'teapot', 'short and stout'), 418, 'teapot'],
    [new WebhookVerificationError('the signature is wrong'), 401, 'invalid-signature'],
    [new IdempotencyConflictError(SECRET), 422, 'idempotency-key-reused'],
    [new InvalidMessageError('payload.a', 'is missing'), 400, 'invalid-payload'],
    [new MessageLockedError([SECRET], 2_000), 503, 'unavailable'],
    [new ResultTimeoutError(SECRET, false), 503, 'unavailable'],
    [new InboxClosedError(), 503, 'unavailable'],
    [databaseError('57P01'), 503, 'unavailable'],
    [databaseError('40001'), 503, 'unavailable'],
    [new Error(SECRET, { cause: databaseError('53300') }), 503, 'unavailable'],
    [
      new TypeError('fetch failed', { cause: Object.assign(new Error(), { code: 'ECONNREFUSED' }) }),
      503,
      'unavailable',
    ],
    [databaseError('23505'), 500, 'internal'],
    [new ConfigurationError(SECRET), 500, 'internal'],
    [new Error(SECRET), 500, 'internal'],
    [SECRET, 500, 'internal'],
    [undefined, 500, 'internal'],
  ] as const) {
    const name = error instanceof Error ? error.name : typeof error;
    it(`${name} is ${status} ${code}, without data`, () => {
      const problem = problemOf(error, 'POST');
      assert.deepEqual([problem.status, problem.code], [status, code]);
      assert.doesNotMatch(JSON.stringify([problem.message, problem.extras]), /card/);
      assert.equal(problem.extras.headers?.['retry-after'], status === 503 ? '2' : undefined);
    });
  }

  it('names fields as the client knows them', () => {
    const others = ['payload', 'payload[3].a', 'messageId', 'payloads.a'].map((field) => ({
      field,
      problem: 'x',
    }));
    const { extras } = problemOf(new InvalidMessageError('payload.items.0.sku', 'x', others), 'POST');
    const fields = (extras.members!['errors'] as { field: string }[]).map(({ field }) => field);
    assert.deepEqual(fields, ['items.0.sku', 'body', 'body[3].a', 'messageId', 'payloads.a']);
  });
});
