import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import type { Pool, PoolClient } from 'pg';
import type { z } from 'zod';
import { deposit, fold } from '../../../examples/bank/account.ts';
import { createAccount, depositFunds, transferFunds } from '../../../examples/bank/commands.ts';
import {
  AccountAlreadyExists,
  AccountBusy,
  AccountNotFound,
  ConcurrencyError,
  InsufficientFunds,
} from '../../../examples/bank/errors.ts';
import { append, loadStream } from '../../../examples/bank/event-store.ts';
import { isRejectedFirst, startFraudService } from '../../../examples/bank/fraud-service.ts';
import { findAccount, lockAccounts, updateAccounts } from '../../../examples/bank/read-model.ts';
import { createBankSchema } from '../../../examples/bank/schema.ts';
import type { InferPayload } from '../../../src/commands/contract.ts';
import type { CommandDefinition, OutboxEvent } from '../../../src/commands/define-command.ts';
import { RetryAfterError, UnrecoverableError } from '../../../src/core/errors.ts';
import { createPool } from '../../../src/platform/postgres.ts';
import { runCommand } from '../../../src/testing/index.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

/** Runs a handler in the transaction, keeps what it changed there, and returns the emitted events. */
async function handle<Command extends CommandDefinition>(
  tx: PoolClient,
  command: Command,
  payload: InferPayload<Command>,
  messageId: string = randomUUID(),
): Promise<OutboxEvent[]> {
  const { events } = await runCommand(command, { tx, payload, messageId, keep: true });
  return events;
}

describe('the bank’s commands', () => {
  let database: TestDatabase;
  let pool: Pool;

  before(async () => {
    database = await createTestDatabase('empty');
    pool = createPool({ connectionString: database.url, max: 20, applicationName: 'bank tests' });
    await createBankSchema(pool);
  });

  after(async () => {
    await pool.end();
    await database.drop();
  });

  afterEach(async () => {
    delete process.env['FRAUD_CHECK_URL'];
    await pool.query('truncate bank.events, bank.accounts');
  });

  async function inTransaction<T>(work: (tx: PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect();
    try {
      await client.query('begin');
      const result = await work(client);
      await client.query('commit');
      return result;
    } catch (error) {
      await client.query('rollback');
      throw error;
    } finally {
      client.release();
    }
  }

  function handleInTransaction<Command extends CommandDefinition>(
    command: Command,
    payload: InferPayload<Command>,
    messageId?: string,
  ): Promise<OutboxEvent[]> {
    return inTransaction((tx) => handle(tx, command, payload, messageId));
  }

  async function openAccounts(openingBalances: Record<string, number>): Promise<void> {
    for (const [accountId, openingBalanceCents] of Object.entries(openingBalances)) {
      await handleInTransaction(createAccount, {
        accountId,
        owner: accountId.toUpperCase(),
        openingBalanceCents,
      });
    }
  }

  async function balances(): Promise<Record<string, string>> {
    const { rows } = await pool.query<{ id: string; balance: string }>(
      'select id, balance_cents::text as balance from bank.accounts order by id',
    );
    return Object.fromEntries(rows.map((row) => [row.id, row.balance]));
  }

  /** Waits until a session of this database waits for a lock. */
  async function waitForBlockedSession(): Promise<void> {
    for (;;) {
      const { rows } = await database.pool.query(
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' limit 1`,
      );
      if (rows.length > 0) return;
    }
  }

  void describe('the schema', () => {
    void it('can be created repeatedly and concurrently', async () => {
      await Promise.all([createBankSchema(pool), createBankSchema(pool), createBankSchema(pool)]);
    });
  });

  void describe('CreateAccount', () => {
    void it('opens an account', async () => {
      const events = await handleInTransaction(
        createAccount,
        { accountId: 'a', owner: 'Ann', openingBalanceCents: 500 },
        'm-1',
      );
      assert.deepEqual(await inTransaction((tx) => findAccount(tx, 'a')), {
        id: 'a',
        owner: 'Ann',
        balanceCents: 500n,
        version: 2,
      });
      assert.deepEqual(
        events.map((event) => event.type),
        ['AccountOpened'],
      );
      const { rows } = await pool.query('select distinct message_id from bank.events');
      assert.deepEqual(rows, [{ message_id: 'm-1' }]);
    });

    void it('rejects an existing account id with an unrecoverable error', async () => {
      await openAccounts({ a: 5 });
      await assert.rejects(
        handleInTransaction(createAccount, { accountId: 'a', owner: 'Bob' }),
        (error) => error instanceof AccountAlreadyExists && error instanceof UnrecoverableError,
      );
      assert.deepEqual(await balances(), { a: '5' });
    });

    void it('fails with a transient error when another transaction opens the same account', async () => {
      await inTransaction(async (first) => {
        await handle(first, createAccount, { accountId: 'a', owner: 'Ann', openingBalanceCents: 1 });
        const second = handleInTransaction(createAccount, {
          accountId: 'a',
          owner: 'Bob',
          openingBalanceCents: 2,
        });
        const rejected = assert.rejects(second, ConcurrencyError);
        await waitForBlockedSession();
        await first.query('commit');
        await rejected;
      });
      assert.deepEqual(await balances(), { a: '1' });
    });
  });

  void describe('DepositFunds', () => {
    void it('adds money', async () => {
      await openAccounts({ a: 5 });
      await handleInTransaction(depositFunds, { accountId: 'a', amountCents: 7 });
      assert.deepEqual(await balances(), { a: '12' });
    });

    void it('rejects amounts that are not a positive integer number of cents', () => {
      for (const amountCents of [0, -1, 0.5, 2 ** 53, '5']) {
        assert.equal(depositFunds.schema.safeParse({ accountId: 'a', amountCents }).success, false);
      }
    });
  });

  void describe('TransferFunds', () => {
    void it('moves money and keeps the read model equal to the folded streams', async () => {
      await openAccounts({ a: 100, b: 0 });
      const events = await handleInTransaction(transferFunds, { from: 'a', to: 'b', amountCents: 60 });
      await handleInTransaction(transferFunds, { from: 'b', to: 'a', amountCents: 10 });
      assert.deepEqual(await balances(), { a: '50', b: '50' });
      assert.deepEqual(events, [
        {
          aggregateType: 'account',
          aggregateId: 'a',
          type: 'FundsTransferred',
          payload: { from: 'a', to: 'b', amountCents: 60 },
          metadata: {},
        },
      ]);
      await inTransaction(async (tx) => {
        for (const id of ['a', 'b']) {
          assert.deepEqual(fold(id, null, await loadStream(tx, id)), await findAccount(tx, id));
        }
      });
    });

    void it('fails with an unrecoverable error when the balance is too low, and writes nothing', async () => {
      await openAccounts({ a: 59, b: 0 });
      await assert.rejects(
        handleInTransaction(transferFunds, { from: 'a', to: 'b', amountCents: 60 }, 'm-2'),
        InsufficientFunds,
      );
      assert.deepEqual(await balances(), { a: '59', b: '0' });
      const { rows } = await pool.query('select from bank.events where message_id = $1', ['m-2']);
      assert.equal(rows.length, 0);
    });

    void it('fails with a transient error while an account is missing', async () => {
      await openAccounts({ a: 100 });
      for (const [from, to] of [
        ['a', 'nobody'],
        ['nobody', 'a'],
      ] as const) {
        await assert.rejects(
          handleInTransaction(transferFunds, { from, to, amountCents: 1 }),
          (error) =>
            error instanceof AccountNotFound &&
            !(error instanceof UnrecoverableError) &&
            error.accountId === 'nobody',
        );
      }
      assert.deepEqual(await balances(), { a: '100' });
    });

    void it('rejects a transfer to the paying account', () => {
      const parsed = transferFunds.schema.safeParse({ from: 'a', to: 'a', amountCents: 1 });
      assert.deepEqual(
        parsed.error?.issues.map((issue) => issue.path),
        [['to']],
      );
    });

    void it('fails with AccountBusy while another transaction holds an account', async () => {
      await openAccounts({ a: 100, b: 0 });
      await inTransaction(async (holder) => {
        await lockAccounts(holder, ['b']);
        await assert.rejects(
          handleInTransaction(transferFunds, { from: 'a', to: 'b', amountCents: 1 }),
          AccountBusy,
        );
      });
      assert.deepEqual(await balances(), { a: '100', b: '0' });
    });

    void it('does not change the lock_timeout of the transaction', async () => {
      await openAccounts({ a: 100, b: 0 });
      const limits: string[] = [];
      const observed: typeof transferFunds = {
        ...transferFunds,
        async handle(context) {
          const read = async () => {
            const { rows } = await context.tx.query<{ lock_timeout: string }>('show lock_timeout');
            limits.push(rows[0]!.lock_timeout);
          };
          await read();
          const result = await transferFunds.handle(context);
          await read();
          return result;
        },
      };
      await handleInTransaction(observed, { from: 'a', to: 'b', amountCents: 1 });
      assert.deepEqual(limits, ['10s', '10s']);
    });

    void it('does not deadlock or lose money when transfers run in opposite directions', async () => {
      await openAccounts({ a: 1_000, b: 1_000 });
      const transfers = Array.from({ length: 100 }, (_, index) =>
        index % 2 === 0 ? { from: 'a', to: 'b', amountCents: 3 } : { from: 'b', to: 'a', amountCents: 2 },
      );
      await Promise.all(transfers.map(retryWhileBusy));
      assert.deepEqual(await balances(), { a: '950', b: '1050' });
    });
  });

  async function retryWhileBusy(payload: z.input<typeof transferFunds.schema>): Promise<void> {
    for (;;) {
      try {
        await handleInTransaction(transferFunds, payload);
        return;
      } catch (error) {
        if (!(error instanceof AccountBusy)) throw error;
      }
    }
  }

  void describe('the fraud check of a transfer', () => {
    void it('runs before any lock is taken, and succeeds when retried after an overload', async () => {
      const service = await startFraudService();
      process.env['FRAUD_CHECK_URL'] = service.url;
      try {
        await openAccounts({ a: 100, b: 0 });
        let id = 0;
        while (!isRejectedFirst(`transfer-${id}`)) id += 1;
        const pay = (): Promise<OutboxEvent[]> =>
          handleInTransaction(transferFunds, { from: 'a', to: 'b', amountCents: 1 }, `transfer-${id}`);
        // The accounts are locked the whole time, so RetryAfterError shows that the check ran before the lock.
        await inTransaction(async (holder) => {
          await lockAccounts(holder, ['a', 'b']);
          await assert.rejects(pay(), RetryAfterError);
        });
        await pay();
        assert.equal(service.rejectedCount(), 1);
        assert.deepEqual(await balances(), { a: '99', b: '1' });
      } finally {
        await service.stop();
      }
    });
  });

  void describe('the expected version', () => {
    void it('rejects an append to a stream that has changed', async () => {
      await openAccounts({ a: 100 });
      await assert.rejects(
        inTransaction((tx) => append(tx, 'm', [{ streamId: 'a', expectedVersion: 1, events: deposit(1) }])),
        (error) => error instanceof ConcurrencyError && error.streamIds[0] === 'a',
      );
    });

    void it('rejects an update of an account that has changed', async () => {
      await openAccounts({ a: 100 });
      await assert.rejects(
        inTransaction(async (tx) => {
          const account = await findAccount(tx, 'a');
          assert.ok(account);
          const stale = { ...account, version: account.version - 1 };
          await updateAccounts(tx, [{ before: stale, after: { ...account, balanceCents: 7n } }]);
        }),
        ConcurrencyError,
      );
      assert.deepEqual(await balances(), { a: '100' });
    });
  });
});
