/** What makes `runCommand` reject: the handler's own errors, what the inbox finds, and wrong arguments. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { ApplicationFailure } from '@temporalio/common';
import type { Pool } from 'pg';
import { DatabaseError } from 'pg';
import { z } from 'zod';
import { defineContract } from '../../../src/commands/contract.ts';
import { defineCommand, implement } from '../../../src/commands/define-command.ts';
import {
  ConfigurationError,
  InvalidCommandError,
  InvalidMessageError,
  RetryAfterError,
  UnreachableError,
  UnrecoverableError,
  UnusableTransactionError,
} from '../../../src/core/errors.ts';
import { createPool } from '../../../src/platform/postgres.ts';
import { AttemptFailedError, runCommand } from '../../../src/testing/index.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { rows } from '../../support/rows.ts';
import { behaving, createStock, freeTea, reserveStock, TAKE_TEA } from '../../support/test-commands.ts';
import type { Behavior } from '../../support/test-commands.ts';
import { eventually } from '../../support/wait.ts';

const DIVIDE = 'select 1 / 0';
const throwing =
  (error: unknown): Behavior =>
  () => {
    throw error;
  };

/** Handlers, and the failures that the inbox finds in them. */
const found: Record<string, [Behavior, string, boolean, RegExp]> = {
  'forgets to await a query': [
    ({ tx }) => void tx.query(TAKE_TEA),
    'ForgottenAwait',
    true,
    /the handler returned before tx\.query finished/,
  ],
  'forgets to await a query that fails': [
    ({ tx }) => void tx.query(DIVIDE),
    'TransactionAborted',
    true,
    /tx\.query failed after the handler returned without awaiting it: division by zero/,
  ],
  'swallows the error of a query': [
    async ({ tx }) => {
      await tx.query(TAKE_TEA);
      await tx.query(DIVIDE).catch(() => {});
    },
    'TransactionAborted',
    true,
    /an earlier statement of the handler failed.*division by zero/,
  ],
  'continues after the error of a query': [
    async ({ tx }) => {
      await tx.query(DIVIDE).catch(() => {});
      await tx.query(TAKE_TEA);
    },
    'TransactionAborted',
    true,
    /division by zero/,
  ],
  'sends COMMIT': [({ tx }) => tx.query('commit'), 'TransactionEnded', false, /the handler sent COMMIT/],
  'sends ROLLBACK and swallows the error': [
    async ({ tx }) => void (await tx.query('rollback').catch(() => {})),
    'TransactionEnded',
    false,
    /the handler sent ROLLBACK/,
  ],
  'begins a serializable transaction': [
    ({ tx }) => tx.query('begin isolation level serializable'),
    'UnsupportedTransaction',
    false,
    /cannot be serializable/,
  ],
  'leaves a nested transaction open': [
    async ({ tx }) => void (await tx.query('begin')),
    'ForgottenAwait',
    true,
    /a nested transaction was still open/,
  ],
  'returns something else than JSON': [() => new Date(), 'InvalidResult', false, /result is a Date/],
  'emits something else than JSON': [
    ({ emit }) => emit({ aggregateType: 'a', aggregateId: '1', type: 'T', payload: new Map() as never }),
    'InvalidEvent',
    false,
    /emit\(T\): event\.payload is a Map/,
  ],
  'swallows the error of emit': [
    ({ emit }) => {
      try {
        emit({ aggregateType: '', aggregateId: '1', type: 'T', payload: 1 });
      } catch {
        return 'swallowed';
      }
    },
    'InvalidEvent',
    false,
    /aggregateType must be non-empty text/,
  ],
};

const isTimeout = (error: unknown) =>
  error instanceof AttemptFailedError && error.errorType === 'Timeout' && error.retryable;

const breaksCheck: Behavior = async ({ tx }) => {
  await tx.query(TAKE_TEA);
  await tx.query(`update shop.stock set free = -1`);
};

const addsLine: Behavior = async ({ tx }) =>
  void (await tx.query(`insert into shop.lines values ('coffee')`));

const sleepsForever: Behavior = async ({ tx }) => {
  await tx.query(TAKE_TEA);
  await tx.query(`set local statement_timeout = 0; select pg_sleep(3600)`);
};

describe('runCommand', () => {
  let database: TestDatabase;
  let pool: Pool;

  before(async () => {
    database = await createTestDatabase('empty');
    ({ pool } = database);
    await createStock(pool);
  });
  after(() => database.drop());

  const run = (handle: Behavior, timeout?: number) =>
    runCommand(behaving(handle, timeout), { pool, messageId: 'm-1', payload: {} });

  for (const [what, [handle, errorType, retryable, problem]] of Object.entries(found)) {
    it(`rejects with ${errorType} if the handler ${what}`, async () => {
      await assert.rejects(run(handle), (error) => {
        assert.ok(error instanceof AttemptFailedError, String(error));
        const { messageId, commandType } = error;
        assert.deepEqual(
          { messageId, commandType, errorType: error.errorType, retryable: error.retryable },
          { messageId: 'm-1', commandType: 'Behave', errorType, retryable },
        );
        assert.match(error.problem, problem);
        assert.equal(error.message, `Behave failed with ${errorType}: ${error.problem}`);
        return true;
      });
      assert.equal(await freeTea(pool), 10);
    });
  }

  it('names the query that a handler swallowed as the cause', async () => {
    const [handle] = found['swallows the error of a query']!;
    await assert.rejects(run(handle), ({ cause }: Error) => {
      assert.ok(cause instanceof DatabaseError);
      return cause.code === '22012';
    });
  });

  it('passes on the very error that the handler or prepare throws', async () => {
    const errors = [
      new UnrecoverableError('AccountClosed', { account: 'a' }),
      new RetryAfterError('5s'),
      ApplicationFailure.nonRetryable('no'),
      new TypeError('an ordinary error'),
      'not an error',
    ];
    for (const thrown of errors) {
      await assert.rejects(run(throwing(thrown)), (error: unknown) => error === thrown);
      const prepares = defineCommand({
        type: 'Prepares',
        schema: z.object({}),
        prepare: throwing(thrown) as () => undefined,
        handle: () => assert.fail('the handler ran'),
      });
      await assert.rejects(runCommand(prepares, { pool, payload: {} }), (error: unknown) => error === thrown);
    }
  });

  it('passes on the error of a query, and rolls back', async () => {
    await assert.rejects(run(breaksCheck), { code: '23514', constraint: 'stock_free_check' });
    assert.equal(await freeTea(pool), 10);
  });

  it('rejects what COMMIT would refuse: a deferred constraint', async () => {
    await pool.query(`create table shop.lines (
      sku text references shop.stock (sku) deferrable initially deferred)`);
    await assert.rejects(run(addsLine), { code: '23503', constraint: 'lines_sku_fkey' });
  });

  it('rejects with the error of a promise that the handler forgot', async () => {
    // Node's test runner also counts a rejection that nobody handles, so it must not see this one.
    const listeners = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    const others = listeners.filter(({ name }) => name === 'onUnhandledRejection');
    for (const listener of others) process.on('unhandledRejection', listener);
    try {
      const stray = new Error('stray');
      const handle: Behavior = async () => {
        void Promise.reject(stray);
        await sleep(1);
      };
      await assert.rejects(run(handle), {
        cause: stray,
        message: /a promise that the handler did not await/,
      });
    } finally {
      process.removeAllListeners('unhandledRejection');
      for (const listener of listeners) process.on('unhandledRejection', listener);
    }
  });

  describe('for a handler that hangs', () => {
    it('rejects with Timeout, aborts its signal, and its later queries fail', async () => {
      let late: Promise<unknown> | undefined;
      const handle: Behavior = ({ tx, signal }) =>
        new Promise(() => {
          signal.addEventListener('abort', () => {
            late = tx.query(TAKE_TEA);
            late.catch(() => {});
          });
        });
      await assert.rejects(run(handle, 100), isTimeout);
      await assert.rejects(late!, /tx was used after its handler returned|Connection|connection/);
      assert.equal(await freeTea(pool), 10);
    });

    it('ends its statement, so that no lock remains', async () => {
      await assert.rejects(run(sleepsForever, 300), isTimeout);
      await eventually('no statement is left', async () => {
        const sql = `select from pg_stat_activity where query like '%pg_sleep(3600)%' and pid <> pg_backend_pid()`;
        return (await rows(pool, sql)).length === 0;
      });
      await pool.query(TAKE_TEA);
      await pool.query(`update shop.stock set free = 10 where sku = 'tea'`);
    });

    it('counts the time of prepare, and ends a prepare that hangs', async () => {
      const hanging = defineCommand({
        type: 'Hangs',
        schema: z.object({}),
        timeout: 100,
        prepare: () => new Promise<undefined>(() => {}),
        handle: () => assert.fail('the handler ran'),
      });
      await assert.rejects(runCommand(hanging, { pool, payload: {} }), isTimeout);
    });

    it('ends when the signal of the test is aborted, with its reason', async () => {
      const stop = new AbortController();
      const reason = new Error('the worker shuts down');
      const command = behaving(async ({ signal }) => {
        stop.abort(reason);
        assert.equal(signal.reason, reason);
        await new Promise(() => {});
      });
      const options = { pool, payload: {}, signal: stop.signal };
      await assert.rejects(runCommand(command, options), (error: unknown) => error === reason);
      const notAgain = behaving(() => assert.fail('the handler ran'));
      await assert.rejects(runCommand(notAgain, options), (error: unknown) => error === reason);
    });
  });

  describe('for a message', () => {
    it('rejects a payload that fails the schema like an attempt, and does not run the handler', async () => {
      const sku = 5 as unknown as string;
      const running = runCommand(reserveStock, { pool, payload: { sku, quantity: 0 } });
      await assert.rejects(running, (error) => {
        assert.ok(error instanceof AttemptFailedError);
        assert.deepEqual([error.errorType, error.retryable], ['InvalidPayload', false]);
        assert.match(error.problem, /payload\.sku: .*; payload\.quantity: /);
        return true;
      });
    });

    it('rejects what no sender can send, and names the field', async () => {
      const wrong: [string, object][] = [
        ['payload.n', { payload: { n: Number.NaN } }],
        ['payload', { payload: undefined }],
        ['payload', { payload: { n: 1 }, maxPayloadBytes: 3 }],
        ['messageId', { payload: {}, messageId: '' }],
        ['messageId', { payload: {}, messageId: 5 }],
        ['correlationId', { payload: {}, correlationId: 5 }],
        ['metadata', { payload: {}, metadata: 'text' }],
      ];
      for (const [field, options] of wrong) {
        const running = runCommand(
          behaving(() => assert.fail('the handler ran')),
          { pool, ...options } as never,
        );
        await assert.rejects(running, (error) => {
          assert.ok(error instanceof InvalidMessageError, String(error));
          assert.equal(error.field, field);
          return true;
        });
      }
    });

    it('rejects a result that the contract does not declare', async () => {
      const contract = defineContract({
        type: 'Quote',
        schema: z.object({}),
        result: z.object({ cents: z.int() }),
      });
      const quote = implement(contract, { handle: () => ({ cents: 1.5 }) });
      await assert.rejects(runCommand(quote, { pool, payload: {} }), {
        name: 'AttemptFailedError',
        errorType: 'InvalidResult',
        problem: /result\.cents: .*the handler must return what its contract declares/,
      });
    });
  });

  describe('for wrong arguments', () => {
    const command = behaving(() => assert.fail('the handler ran'));
    const payload = {};

    it('rejects everything that is not a command with a handler', async () => {
      const contract = defineContract({ type: 'Quote', schema: z.object({}) });
      for (const wrong of [undefined, null, 'Behave', {}, contract, { ...command, timeout: '2 weeks' }])
        await assert.rejects(runCommand(wrong as never, { pool, payload } as never), InvalidCommandError);
    });

    it('names each option that is missing or invalid', async () => {
      const ended = createPool({ connectionString: database.url, max: 1, applicationName: 'ended' });
      await ended.end();
      const client = { query: async () => ({ rows: [] }) };
      const wrong: [RegExp, unknown][] = [
        [/options must be an object/, undefined],
        [/pool or tx is required/, { payload }],
        [/pool and tx are both set/, { payload, pool, tx: client }],
        [/pool must be a pg\.Pool/, { payload, pool: client }],
        [/pool was ended/, { payload, pool: ended }],
        [/tx must be a pg client/, { payload, tx: {} }],
        [/keep needs tx/, { payload, pool, keep: true }],
        [/keep must be true or false/, { payload, tx: client, keep: 'yes' }],
        [/attempt must be a whole number from 1/, { payload, pool, attempt: 0 }],
        [/generation must be a whole number from 0/, { payload, pool, generation: 1.5 }],
        [/receivedAt must be a valid Date/, { payload, pool, receivedAt: '2026-01-01' }],
        [/receivedAt must be a valid Date/, { payload, pool, receivedAt: new Date(Number.NaN) }],
        [/log must be an object with the functions debug/, { payload, pool, log: { info() {} } }],
        [/signal must be an AbortSignal/, { payload, pool, signal: {} }],
        [/maxPayloadBytes must be a whole number/, { payload, pool, maxPayloadBytes: 2 ** 21 }],
        [/timeout is not an option.*; attempt must/, { payload, pool, timeout: 5, attempt: '1' }],
      ];
      for (const [message, options] of wrong)
        await assert.rejects(runCommand(command, options as never), (error) => {
          assert.ok(error instanceof ConfigurationError, String(error));
          assert.match(error.message, /^runCommand: /);
          assert.match(error.message, message);
          return true;
        });
    });

    it('rejects a pool as tx', async () => {
      const running = runCommand(command, { payload, tx: pool } as never);
      await assert.rejects(running, (error) => {
        assert.ok(error instanceof UnusableTransactionError);
        return /^tx is a pool.*pass it as pool/.test(error.message);
      });
    });

    it('says so if the test itself holds all connections of the pool', async () => {
      const small = createPool({
        connectionString: database.url,
        max: 1,
        applicationName: 'small',
        connectTimeoutMs: 0,
      });
      const held = await small.connect();
      const running = runCommand(
        behaving(() => {}),
        { pool: small, payload },
      );
      await assert.rejects(running, (error) => {
        assert.ok(error instanceof UnreachableError, String(error));
        return /pool gave no connection within 10 s; 1 of at most 1 are open/.test(error.message);
      });
      held.release();
      // The connection that came too late was returned.
      await runCommand(
        behaving(() => {}),
        { pool: small, payload },
      );
      await small.end();
    });
  });
});
