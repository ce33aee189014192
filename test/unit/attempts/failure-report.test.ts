import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ApplicationFailure } from '@temporalio/common';
import { DatabaseError } from 'pg';
import { RetryAfterError, UnrecoverableError } from '../../../src/core/errors.ts';
import {
  errorText,
  failureGroup,
  inboxFailure,
  reportFailure,
  splitErrorText,
} from '../../../src/attempts/failure-report.ts';
import { fc } from '../../support/random.ts';

/** An error with something in a property where its type promises text. */
function crooked(property: PropertyDescriptorMap, error: Error = new Error('crooked')): Error {
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

describe('reading what was thrown', () => {
  it('takes an ordinary error for transient, with its class as type', () => {
    class AccountLocked extends Error {}
    const report = reportFailure(new AccountLocked('by another one'));
    assert.equal(report.type, 'AccountLocked');
    assert.equal(report.message, 'by another one');
    assert.equal(report.retryable, true);
    assert.equal(report.delayMs, null);
    assert.match(report.stack!, /by another one\n\s+at /);
  });

  it('prefers the name that an error gives itself', () => {
    assert.equal(reportFailure(crooked({ name: { value: 'TimeoutError' } })).type, 'TimeoutError');
    assert.equal(reportFailure(new TypeError('x')).type, 'TypeError');
    assert.equal(reportFailure(new (class extends Error {})('of a class without name')).type, 'Error');
  });

  it('takes UnrecoverableError for final, with its own type and details', () => {
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
    ['nonsense', 'soon', null],
    ['a negative one', -1, null],
    ['NaN', Number.NaN, null],
    ['Infinity', Number.POSITIVE_INFINITY, null],
    ['undefined', undefined as never, null],
  ] as const) {
    it(`reads the delay of RetryAfterError: ${name}`, () => {
      const report = reportFailure(new RetryAfterError(delay));
      assert.equal(report.type, 'RetryAfter');
      assert.equal(report.retryable, true);
      assert.equal(report.delayMs, delayMs);
    });
  }

  it('heeds what Temporal’s ApplicationFailure says of itself', () => {
    const transient = reportFailure(ApplicationFailure.retryable('later', 'Busy'));
    assert.deepEqual([transient.type, transient.message, transient.retryable], ['Busy', 'later', true]);
    const final = reportFailure(ApplicationFailure.nonRetryable('never', 'Gone'));
    assert.deepEqual([final.type, final.message, final.retryable], ['Gone', 'never', false]);
    assert.equal(reportFailure(ApplicationFailure.create({ message: 'untyped' })).type, 'ApplicationFailure');
    assert.equal(reportFailure(ApplicationFailure.create({ nextRetryDelay: '7s' })).delayMs, 7_000);
  });

  for (const nextRetryDelay of ['nonsense', -5, Number.NaN, Number.POSITIVE_INFINITY]) {
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
    ['an object without prototype', Object.create(null), 'threw object: {}'],
  ] as const) {
    it(`takes ${name} that is no error for transient`, () => {
      const report = reportFailure(thrown);
      assert.deepEqual(report, { type: 'NotAnError', message, stack: null, retryable: true, delayMs: null });
    });
  }

  it('survives a cycle and a revoked proxy', () => {
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    assert.equal(reportFailure(cycle).message, 'threw object: (cannot be shown)');
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    assert.equal(reportFailure(proxy).type, 'NotAnError');
  });

  for (const [name, error] of [
    ['a message that throws', crooked({ message: throwing })],
    ['a name that throws', crooked({ name: throwing })],
    ['a stack that throws', crooked({ stack: throwing })],
    ['a constructor that throws', crooked({ constructor: throwing })],
    ['a message that is an object', crooked({ message: { value: { text: 'x' } } })],
    ['a message that is a symbol', crooked({ message: { value: Symbol('m') } })],
    // What Error.prepareStackTrace returns need not be text, and some libraries return call sites.
    ['a stack that is a list', crooked({ stack: { value: [{}, {}] } })],
    [
      'a class whose name is a function',
      new (class extends Error {
        static override name() {}
      } as unknown as ErrorConstructor)('crooked'),
    ],
    ['an ApplicationFailure with a number as type', ApplicationFailure.create({ type: 42 as never })],
  ] as const) {
    it(`survives ${name}`, () => {
      const report = reportFailure(error);
      assert.equal(typeof report.type, 'string');
      assert.equal(typeof report.message, 'string');
      assert.ok(report.type.length > 0);
      assert.ok(report.stack === null || typeof report.stack === 'string');
      assert.equal(report.retryable, true);
    });
  }

  it('keeps an UnrecoverableError final that has no usable type', () => {
    const report = reportFailure(new UnrecoverableError(undefined as never));
    assert.deepEqual([report.type, report.retryable], ['Error', false]);
  });

  it('can be given anything at all', () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withDate: true, withMap: true }), (thrown) => {
        const report = reportFailure(thrown);
        assert.equal(typeof report.type, 'string');
        assert.ok(Buffer.byteLength(errorText(report)) <= 4_000);
      }),
    );
  });
});

describe('the text that is stored', () => {
  it('has no password of a URL that a library repeats', () => {
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

  it('cuts a message of 3 MB, and names the type all the same', () => {
    const report = reportFailure(new RangeError('x'.repeat(3_000_000)));
    const text = errorText(report);
    assert.ok(text.startsWith('RangeError: xxx'));
    assert.ok(text.endsWith('x…'));
    assert.ok(Buffer.byteLength(text) <= 4_000);
    assert.ok(Buffer.byteLength(report.stack!) <= 16_000);
  });

  it('cuts between characters, wherever the limit falls', () => {
    for (const character of ['é', '€', '😀']) {
      for (const shift of ['', 'a', 'ab', 'abc']) {
        const { message } = reportFailure(new Error(shift + character.repeat(4_000)));
        assert.ok(Buffer.byteLength(message) > 3_700, `${message.length}`);
        assert.match(message, new RegExp(`^${shift}(${character})+…$`, 'u'));
      }
    }
  });

  it('has no NUL and no lone surrogate, which Postgres refuses', () => {
    const report = reportFailure(new UnrecoverableError('Bad\u0000Type', {}, { message: 'a\u0000b\ud800c' }));
    assert.equal(report.type, 'BadType');
    assert.equal(report.message, 'ab\ufffdc');
    assert.equal(reportFailure('\u0000').message, 'threw string: ');
  });

  it('is `Type: message`, or the type alone', () => {
    assert.equal(errorText({ type: 'Broke', message: 'no money: none' }), 'Broke: no money: none');
    assert.equal(errorText({ type: 'Broke', message: '' }), 'Broke');
  });

  it('comes apart again into type and message', () => {
    for (const [type, message] of [
      ['Broke', 'no money: none'],
      ['Broke', ''],
    ] as const) {
      assert.deepEqual(splitErrorText(errorText({ type, message })), { type, message, stack: null });
    }
  });

  it('of the inbox’s own failures has no stack', () => {
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
    it(`are the same where only ${name} differ`, () => assert.equal(group(one), group(other)));
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

  it('have at most 255 bytes and are never cut within a character', () => {
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
