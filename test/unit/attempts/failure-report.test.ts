import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ApplicationFailure } from '@temporalio/common';
import { DatabaseError } from 'pg';
import type { Duration } from '../../../src/core/duration.ts';
import { RetryAfterError, UnrecoverableError } from '../../../src/core/errors.ts';
import {
  errorText,
  failureGroup,
  inboxFailure,
  reportFailure,
  splitErrorText,
} from '../../../src/attempts/failure-report.ts';
import { fc } from '../../support/random.ts';

/** An error whose properties may hold something other than the text that its type promises. */
function withProperties(property: PropertyDescriptorMap, error: Error = new Error('odd error')): Error {
  return Object.defineProperties(error, property);
}

const throwing: PropertyDescriptor = {
  get() {
    throw new Error('a getter that throws');
  },
};

function databaseError(code: string, message: string): DatabaseError {
  const error = new DatabaseError(message, message.length, 'error');
  error.code = code;
  return error;
}

describe('reportFailure', () => {
  it('treats an ordinary error as transient, with its class name as the type', () => {
    class AccountLocked extends Error {}
    const report = reportFailure(new AccountLocked('by another transfer'));
    assert.equal(report.type, 'AccountLocked');
    assert.equal(report.message, 'by another transfer');
    assert.equal(report.retryable, true);
    assert.equal(report.delayMs, null);
    assert.match(report.stack!, /by another transfer\n\s+at /);
  });

  it('prefers the name property to the class name', () => {
    assert.equal(reportFailure(withProperties({ name: { value: 'TimeoutError' } })).type, 'TimeoutError');
    assert.equal(reportFailure(new TypeError('x')).type, 'TypeError');
    assert.equal(reportFailure(new (class extends Error {})('anonymous class')).type, 'Error');
  });

  it('treats UnrecoverableError as final, with its own type and details', () => {
    const report = reportFailure(new UnrecoverableError('InsufficientFunds', { account: 'a', missing: 5 }));
    assert.equal(report.type, 'InsufficientFunds');
    assert.equal(report.message, 'account=a missing=5');
    assert.equal(report.retryable, false);
  });

  for (const [name, delay, delayMs] of [
    ['text', '3 seconds', 3_000],
    ['milliseconds', 250, 250],
    ['zero', 0, 0],
    ['a fraction', 0.4, 0],
    ['invalid text', 'soon', null],
    ['a negative number', -1, null],
    ['NaN', Number.NaN, null],
    ['Infinity', Number.POSITIVE_INFINITY, null],
    ['undefined', undefined as never, null],
  ] as const) {
    it(`reads the delay of RetryAfterError: ${name}`, () => {
      const report = reportFailure(new RetryAfterError(delay as Duration));
      assert.equal(report.type, 'RetryAfter');
      assert.equal(report.retryable, true);
      assert.equal(report.delayMs, delayMs);
    });
  }

  it('follows what Temporal’s ApplicationFailure says about type, retries and delay', () => {
    const transient = reportFailure(ApplicationFailure.retryable('later', 'Busy'));
    assert.deepEqual([transient.type, transient.message, transient.retryable], ['Busy', 'later', true]);
    const final = reportFailure(ApplicationFailure.nonRetryable('never', 'Gone'));
    assert.deepEqual([final.type, final.message, final.retryable], ['Gone', 'never', false]);
    assert.equal(reportFailure(ApplicationFailure.create({ message: 'untyped' })).type, 'ApplicationFailure');
    assert.equal(reportFailure(ApplicationFailure.create({ nextRetryDelay: '7s' })).delayMs, 7_000);
  });

  for (const nextRetryDelay of ['invalid', -5, Number.NaN, Number.POSITIVE_INFINITY]) {
    it(`leaves the delay to the policy when an ApplicationFailure asks for ${nextRetryDelay}`, () => {
      const failure = ApplicationFailure.create({ type: 'Busy', nextRetryDelay: nextRetryDelay as number });
      const { type, delayMs } = reportFailure(failure);
      assert.deepEqual({ type, delayMs }, { type: 'Busy', delayMs: null });
    });
  }

  it('names a database error by its SQLSTATE', () => {
    const report = reportFailure(databaseError('40001', 'could not serialize access'));
    assert.equal(report.type, 'SQLSTATE 40001');
    assert.equal(report.retryable, true);
  });

  for (const [name, thrown, message] of [
    ['text', 'just text', 'threw string: just text'],
    ['undefined', undefined, 'threw undefined: (cannot be shown)'],
    ['null', null, 'threw object: null'],
    ['a number', 42, 'threw number: 42'],
    ['an object', { code: 7 }, 'threw object: {"code":7}'],
    ['a BigInt', 1n, 'threw bigint: (cannot be shown)'],
    ['a symbol', Symbol('s'), 'threw symbol: (cannot be shown)'],
    ['a function', () => 0, 'threw function: (cannot be shown)'],
    ['an object without a prototype', Object.create(null), 'threw object: {}'],
  ] as const) {
    it(`treats a thrown non-error as transient: ${name}`, () => {
      const report = reportFailure(thrown);
      assert.deepEqual(report, { type: 'NotAnError', message, stack: null, retryable: true, delayMs: null });
    });
  }

  it('reports a cyclic object and a revoked proxy', () => {
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    assert.equal(reportFailure(cycle).message, 'threw object: (cannot be shown)');
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    assert.equal(reportFailure(proxy).type, 'NotAnError');
  });

  for (const [name, error] of [
    ['a message that throws', withProperties({ message: throwing })],
    ['a name that throws', withProperties({ name: throwing })],
    ['a stack that throws', withProperties({ stack: throwing })],
    ['a constructor that throws', withProperties({ constructor: throwing })],
    ['a message that is an object', withProperties({ message: { value: { text: 'x' } } })],
    ['a message that is a symbol', withProperties({ message: { value: Symbol('m') } })],
    // Error.prepareStackTrace may return anything, and some libraries make it return call sites.
    ['a stack that is a list', withProperties({ stack: { value: [{}, {}] } })],
    [
      'a class whose name is a function',
      new (class extends Error {
        static override name() {}
      } as unknown as ErrorConstructor)('odd error'),
    ],
    ['a number as type (ApplicationFailure)', ApplicationFailure.create({ type: 42 as never })],
  ] as const) {
    it(`reports an error with ${name}`, () => {
      const report = reportFailure(error);
      assert.equal(typeof report.type, 'string');
      assert.equal(typeof report.message, 'string');
      assert.ok(report.type.length > 0);
      assert.ok(report.stack === null || typeof report.stack === 'string');
      assert.equal(report.retryable, true);
    });
  }

  it('treats an UnrecoverableError without a usable type as final', () => {
    const report = reportFailure(new UnrecoverableError(undefined as never));
    assert.deepEqual([report.type, report.retryable], ['Error', false]);
  });

  it('accepts any thrown value', () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withDate: true, withMap: true }), (thrown) => {
        const report = reportFailure(thrown);
        assert.equal(typeof report.type, 'string');
        assert.ok(Buffer.byteLength(errorText(report)) <= 4_000);
      }),
    );
  });
});

describe('the stored error text', () => {
  it('hides passwords in URLs that a library repeats', () => {
    const { cause } = new Error('fetch failed', {
      cause: new TypeError('cannot use https://ann:canary@db.example.com/x?token=canary'),
    });
    for (const thrown of [
      cause,
      new Error('it failed', { cause }),
      new UnrecoverableError('Broken', { url: 'amqp://ann:canary@mq' }),
      'nats://canary@h',
    ]) {
      const report = reportFailure(thrown);
      assert.doesNotMatch(JSON.stringify(report), /canary/);
      assert.match(report.message, /\*\*\*@/);
    }
  });

  it('shortens a message of 3 MB and still names the type', () => {
    const report = reportFailure(new RangeError('x'.repeat(3_000_000)));
    const text = errorText(report);
    assert.ok(text.startsWith('RangeError: xxx'));
    assert.ok(text.endsWith('x…'));
    assert.ok(Buffer.byteLength(text) <= 4_000);
    assert.ok(Buffer.byteLength(report.stack!) <= 16_000);
  });

  it('is shortened between characters, wherever the limit falls', () => {
    for (const character of ['é', '€', '😀']) {
      for (const shift of ['', 'a', 'ab', 'abc']) {
        const { message } = reportFailure(new Error(shift + character.repeat(4_000)));
        assert.ok(Buffer.byteLength(message) > 3_700, `${message.length}`);
        assert.match(message, new RegExp(`^${shift}(${character})+…$`, 'u'));
      }
    }
  });

  it('contains no NUL and no lone surrogate, which Postgres rejects', () => {
    const report = reportFailure(new UnrecoverableError('Bad\u0000Type', {}, { message: 'a\u0000b\ud800c' }));
    assert.equal(report.type, 'BadType');
    assert.equal(report.message, 'ab\ufffdc');
    assert.equal(reportFailure('\u0000').message, 'threw string: ');
  });

  it('is `Type: message`, or only the type if the message is empty', () => {
    assert.equal(errorText({ type: 'Broke', message: 'no money: none' }), 'Broke: no money: none');
    assert.equal(errorText({ type: 'Broke', message: '' }), 'Broke');
  });

  it('can be split into type and message again', () => {
    for (const [type, message] of [
      ['Broke', 'no money: none'],
      ['Broke', ''],
    ] as const) {
      assert.deepEqual(splitErrorText(errorText({ type, message })), { type, message, stack: null });
    }
  });

  it('has no stack for failures that the inbox itself detects', () => {
    const report = inboxFailure('Timeout', 'took too long', true);
    assert.deepEqual(report, {
      type: 'Timeout',
      message: 'took too long',
      stack: null,
      retryable: true,
      delayMs: null,
    });
  });
});

function group(message: string, type = 'InsufficientFunds', command = 'TransferFunds'): string {
  return failureGroup(command, { type, message });
}

describe('failure groups', () => {
  for (const [name, one, other] of [
    ['numbers', 'balance 120 is below 500', 'balance 7 is below 12.50'],
    [
      'uuids',
      'no account 2f1e6c1a-0c0f-4f57-9d8e-6a4b1a1c9d10',
      'no account 9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d',
    ],
    ['quoted text', 'no account "alice" here', "no account 'bob the second' here"],
    ['details', 'account=alice missing=5', 'account=bob missing=17'],
    ['ids with digits', 'message msg-17 is late', 'message order-x99 is late'],
    ['line breaks', 'first\nsecond', 'first second'],
  ] as const) {
    it(`are the same if only ${name} differ`, () => assert.equal(group(one), group(other)));
  }

  it('differ by command, type and cause', () => {
    const groups = [
      group('account closed'),
      group('account frozen'),
      group('account closed', 'AccountClosed'),
      group('account closed', 'InsufficientFunds', 'Withdraw'),
    ];
    assert.equal(new Set(groups).size, groups.length);
    assert.match(groups[0]!, /^TransferFunds\/InsufficientFunds\/[0-9a-f]{8}$/);
  });

  it('have at most 255 bytes and are never cut inside a character', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 300 }),
        fc.string({ unit: 'grapheme', maxLength: 300 }),
        fc.string({ maxLength: 300 }),
        (command, type, message) => {
          const key = failureGroup(command, { type, message });
          assert.ok(Buffer.byteLength(key) <= 255);
          assert.ok(key.isWellFormed());
        },
      ),
    );
    const long = group('x', '€'.repeat(200), '😀'.repeat(100));
    assert.ok(Buffer.byteLength(long) > 200 && !long.includes('\ufffd'));
  });
});
