import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { runInNewContext } from 'node:vm';
import { ApplicationFailure } from '@temporalio/common';
import { DrizzleQueryError } from 'drizzle-orm/errors';
import { DatabaseError } from 'pg';
import {
  IdempotencyConflictError,
  InvalidMessageError,
  RetryAfterError,
  UnrecoverableError,
} from '../../../src/core/errors.ts';
import { errorText, failureGroup, reportFailure } from '../../../src/attempts/failure-report.ts';

function databaseError(code: string, message: string, fields: object = {}): DatabaseError {
  return Object.assign(new DatabaseError(message, message.length, 'error'), {
    code,
    severity: 'ERROR',
    ...fields,
  });
}

const duplicate = (constraint: string) =>
  databaseError('23505', `duplicate key value violates unique constraint "${constraint}"`, { constraint });
const failedQuery = (id: string, cause: Error) =>
  new DrizzleQueryError('insert into "orders" ("id") values ($1)', [id, `line\nbreak ${id}`], cause);
const systemError = (code: string, message: string) => Object.assign(new Error(message), { code });
const groupOf = (thrown: unknown) => failureGroup('PlaceOrder', reportFailure(thrown));
const named = (name: string, error: Error, fields: object = {}) => Object.assign(error, { name, ...fields });

const call = (id: string) => `\nInvalid \`prisma.order.create()\` invocation:\n{ id: "${id}" }\n\nIt failed`;
const declined = (cause: unknown) => new Error('payment failed', { cause });
const later = (reason: Error) => new RetryAfterError(5, 'busy', { cause: reason });
const groupOfMessage = (message: string) => failureGroup('T', { type: 'SQLSTATE 23505', message });

/** Each wraps a cause in the way a particular library does. */
const wrappers: Record<string, (cause: Error, id: string) => unknown> = {
  'Drizzle’s error': (cause, id) => failedQuery(id, cause),
  'an error with a cause': (cause, id) => new Error(`order ${id} failed`, { cause }),
  'three wrappers': (cause, id) =>
    new Error(`c ${id}`, { cause: new TypeError(`b ${id}`, { cause: failedQuery(id, cause) }) }),
  'TypeORM’s error': (cause, id) =>
    named('QueryFailedError', new Error(`error: ${cause.message}`), { driverError: cause, parameters: [id] }),
  'Sequelize’s error': (cause, id) =>
    named('SequelizeDatabaseError', new Error('Validation error'), {
      parent: cause,
      original: cause,
      sql: id,
    }),
  'Objection’s error': (cause) => named('UniqueViolationError', new Error('failed'), { nativeError: cause }),
  'MikroORM’s error': (cause) => named('DriverException', new Error('failed'), { previous: cause }),
  'an AggregateError': (cause, id) =>
    new AggregateError([cause, new Error(id)], 'All promises were rejected'),
  'a SuppressedError': (cause, id) =>
    named('SuppressedError', new Error('suppressed'), { error: cause, suppressed: new Error(id) }),
  'an error from another realm': (cause) =>
    Object.assign(runInNewContext(`new Error('foreign')`) as Error, { cause }),
};

describe('an error with a cause', () => {
  for (const [name, wrap] of Object.entries(wrappers)) {
    it(`is reported as its cause, in the failure group of the cause: ${name}`, () => {
      const reports = ['one', 'two two', '(3)'].map((id) =>
        reportFailure(wrap(duplicate('orders_pkey'), id)),
      );
      for (const report of reports) {
        assert.equal(report.type, 'SQLSTATE 23505');
        assert.match(report.message, /^duplicate key value violates unique constraint "orders_pkey"/);
        assert.match(report.stack!, /duplicate key value/);
        assert.equal(failureGroup('PlaceOrder', report), groupOf(duplicate('orders_pkey')));
      }
      assert.notEqual(groupOf(wrap(duplicate('orders_sku_key'), 'one')), groupOf(duplicate('orders_pkey')));
      assert.notEqual(groupOf(wrap(new Error('x'), 'one')), groupOf(duplicate('orders_pkey')));
    });
  }

  it('keeps the messages of the wrappers, without statement parameters', () => {
    const secret = 'secret-value';
    const report = reportFailure(
      new Error('cannot place the order', { cause: failedQuery(secret, duplicate('pk')) }),
    );
    const expected =
      'duplicate key value violates unique constraint "pk" (reported as: cannot place the order > ' +
      'Failed query: insert into "orders" ("id") values ($1))';
    assert.equal(report.message, expected);
    assert.ok(!JSON.stringify(report).includes(secret));
    assert.match(report.stack!, /^Error: cannot place the order\n\s+at [^]*\nCaused by: [^]*\nCaused by: /);
  });

  it('is stored without parameters if Drizzle’s error has no cause, or if only its text was kept', () => {
    const bare = failedQuery('secret-value', undefined as never);
    assert.ok(!JSON.stringify(reportFailure(bare)).includes('secret-value'));
    const copied = (id: string) => new Error(`not saved: ${failedQuery(id, duplicate('pk')).message}`);
    assert.ok(!JSON.stringify(reportFailure(copied('secret-value'))).includes('secret-value'));
    assert.equal(groupOf(copied('one')), groupOf(copied('two')));
  });

  it('is reported with Postgres’s own message if Knex put the statement before it', () => {
    const error = duplicate('orders_pkey');
    error.message = `insert into "orders" values ('secret - value') - ${error.message}`;
    const report = reportFailure(error);
    assert.equal(report.message, 'duplicate key value violates unique constraint "orders_pkey"');
    assert.ok(!JSON.stringify(report).includes('secret'));
    assert.equal(groupOf(error), groupOf(duplicate('orders_pkey')));
  });

  it('is reported with Prisma’s reason without the call, or with Postgres’s error if the adapter names it', () => {
    const prisma = (id: string, meta: object, code = 'P2002') =>
      named('PrismaClientKnownRequestError', new Error(call(id)), { code, meta });
    const plain = reportFailure(prisma('secret-value', {}));
    assert.deepEqual([plain.type, plain.message], ['Prisma P2002', 'It failed']);
    assert.ok(!JSON.stringify(plain).includes('secret-value'));
    const cause = { originalCode: '23505', originalMessage: 'duplicate key value', kind: 'Unique' };
    const adapted = reportFailure(
      prisma('x', {
        driverAdapterError: named('DriverAdapterError', new Error('UniqueViolation'), { cause }),
      }),
    );
    assert.equal(adapted.type, 'SQLSTATE 23505');
    assert.match(adapted.message, /^duplicate key value/);
  });

  it('is reported as the system error behind a failed fetch', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    const error = await fetch(`http://127.0.0.1:${port}`).catch((reason: unknown) => reason);
    const report = reportFailure(error);
    assert.equal(report.type, 'ECONNREFUSED');
    assert.match(report.message, /^connect ECONNREFUSED 127\.0\.0\.1:\d+ \(reported as: fetch failed\)$/);
  });

  it('takes its type from the code of a system error, or from the name of any other cause', () => {
    const refused = new AggregateError([systemError('ECONNREFUSED', 'connect ECONNREFUSED ::1:5432')], '');
    assert.equal(reportFailure(new TypeError('fetch failed', { cause: refused })).type, 'ECONNREFUSED');
    const slow = named(
      'ConnectTimeoutError',
      systemError('UND_ERR_CONNECT_TIMEOUT', 'Connect Timeout Error'),
    );
    assert.equal(reportFailure(new TypeError('fetch failed', { cause: slow })).type, 'ConnectTimeoutError');
    const group = (code: string) =>
      groupOf(new TypeError('fetch failed', { cause: systemError(code, code) }));
    assert.notEqual(group('ECONNRESET'), group('ETIMEDOUT'));
    // An error that is thrown directly keeps its name as the type.
    assert.equal(reportFailure(systemError('ECONNRESET', 'read ECONNRESET')).type, 'Error');
  });

  it('keeps its own type and message if the cause says nothing', () => {
    for (const cause of [undefined, null, 42, new Error(''), { order: 'one' }, () => 0]) {
      const report = reportFailure(new RangeError('too far', { cause }));
      assert.deepEqual([report.type, report.message], ['RangeError', 'too far']);
    }
    assert.equal(groupOf(new Error('no', { cause: { order: 'one' } })), groupOf(new Error('no')));
  });

  it('is reported with a cause that is text or has a code', () => {
    assert.equal(errorText(reportFailure(declined('declined'))), 'Error: payment failed (cause: declined)');
    assert.notEqual(groupOf(declined('declined')), groupOf(declined('expired')));
    assert.notEqual(groupOf(declined({ code: 'declined' })), groupOf(declined({ code: 'expired' })));
  });

  it('may have a cyclic or endless chain of causes, or a cause that cannot be read', () => {
    const cycle = new Error('outer', { cause: new Error('inner') });
    (cycle.cause as Error).cause = cycle;
    assert.equal(reportFailure(cycle).message, 'inner (reported as: outer)');
    class Endless extends Error {
      override get cause(): unknown {
        return new Endless('again');
      }
    }
    assert.equal(reportFailure(new Endless('first')).type, 'Endless');
    const hostile = new Proxy(new Error('hostile'), {
      get() {
        throw new Error('no');
      },
    });
    for (const property of ['cause', 'driverError', 'errors', 'meta']) {
      const error = new Error('outer');
      Object.defineProperty(error, property, {
        get() {
          throw new Error('no');
        },
      });
      assert.equal(reportFailure(error).message, 'outer');
      assert.equal(reportFailure(new Error('outer', { cause: hostile })).retryable, true);
    }
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    assert.equal(reportFailure(new Error('outer', { cause: proxy })).message, 'outer');
    assert.equal(reportFailure(new AggregateError([proxy], 'all')).message, 'all');
  });

  it('is stored within the limits, however long the messages of its wrappers are', () => {
    const report = reportFailure(
      new Error('x'.repeat(3_000_000), { cause: failedQuery('y'.repeat(3_000_000), duplicate('pk')) }),
    );
    assert.match(errorText(report), /^SQLSTATE 23505: duplicate key value/);
    assert.ok(Buffer.byteLength(errorText(report)) <= 4_000);
    assert.match(report.stack!, /Caused by: error: duplicate key value/);
    assert.ok(Buffer.byteLength(report.stack!) <= 16_000);
  });
});

describe('an error that decides whether to retry, inside a wrapper', () => {
  const cause = databaseError('40001', 'could not serialize access');

  it('stays final', () => {
    for (const final of [
      new UnrecoverableError('Broke', { account: 'a' }),
      ApplicationFailure.nonRetryable('account=a', 'Broke'),
    ]) {
      const report = reportFailure(new Error('rolled back', { cause: final }));
      assert.deepEqual([report.type, report.message, report.retryable], ['Broke', 'account=a', false]);
      assert.equal(groupOf(new Error('rolled back', { cause: final })), groupOf(final));
    }
  });

  it('stays transient and keeps its delay', () => {
    const report = reportFailure(new Error('rolled back', { cause: new RetryAfterError('7s', 'busy') }));
    assert.deepEqual([report.type, report.message, report.delayMs], ['RetryAfter', 'busy', 7_000]);
  });

  it('also decides for its own cause, whose message is kept', () => {
    const final = new UnrecoverableError('Broke', { account: 'a' }, { cause });
    const report = reportFailure(final);
    assert.equal(errorText(report), 'Broke: account=a (cause: SQLSTATE 40001: could not serialize access)');
    assert.equal(groupOf(final), groupOf(new UnrecoverableError('Broke', { account: 'a' })));
    assert.equal(reportFailure(ApplicationFailure.retryable('later', 'Busy', undefined)).retryable, true);
    assert.notEqual(groupOf(later(cause)), groupOf(later(duplicate('pk'))));
  });

  it('makes an AggregateError final only if all of its errors are final', () => {
    const final = new UnrecoverableError('Broke');
    assert.equal(reportFailure(new AggregateError([final, final])).retryable, false);
    assert.equal(reportFailure(new AggregateError([final, cause])).retryable, true);
  });

  it('decides nothing if it ended another execution', () => {
    const other = named('WorkflowFailedError', new Error('failed'), {
      cause: ApplicationFailure.nonRetryable('no', 'Broke'),
    });
    assert.equal(reportFailure(other).retryable, true);
  });

  it('is final if it rejected a message, because the message would be rejected again', () => {
    for (const rejection of [
      new InvalidMessageError('payload', 'is huge'),
      new IdempotencyConflictError('m'),
    ]) {
      const report = reportFailure(new Error('not sent', { cause: rejection }));
      assert.deepEqual([report.type, report.retryable], [rejection.name, false]);
    }
  });
});

describe('failure groups of Postgres’s errors', () => {
  for (const [name, one, other] of [
    ['the key values differ', 'Key (id)=(abc def) already exists.', 'Key (id)=(x (y) "z) already exists.'],
    ['the row values differ', 'Failing row contains (1, a b).', 'Failing row contains (2, (c), "d).'],
    [
      'the value differs',
      'invalid input syntax for type uuid: "a"',
      'invalid input syntax for type uuid: "a"b\'"',
    ],
  ] as const) {
    it(`are the same if only ${name}`, () => assert.equal(groupOfMessage(one), groupOfMessage(other)));
  }

  for (const [type, message, key] of [
    ['InsufficientFunds', 'balance 120 of "alice" is below account=bob', '30afd4fd'],
    ['SQLSTATE 40001', 'could not serialize access due to concurrent update', '1f790589'],
    ['Error', 'Key (id)=(42) already exists.', '0e09695e'],
    ['TypeError', "Cannot read properties of undefined (reading 'id')", '862fb349'],
  ] as const) {
    it(`have the same key as in earlier releases, so that saved filters still match: ${message}`, () =>
      assert.equal(failureGroup('T', { type, message }), `T/${type}/${key}`));
  }

  it('differ by constraint, but not by the number in a partition’s name', () => {
    assert.notEqual(groupOf(duplicate('orders_pkey')), groupOf(duplicate('orders_sku_key')));
    assert.equal(groupOf(duplicate('orders_2025_11_pkey')), groupOf(duplicate('orders_2025_12_pkey')));
  });
});
