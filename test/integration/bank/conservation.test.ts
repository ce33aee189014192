import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Pool } from 'pg';
import { deposit, open, receiveTransfer, sendTransfer } from '../../../examples/bank/account.ts';
import { checkConservation } from '../../../examples/bank/conservation.ts';
import { record, recordOpening } from '../../../examples/bank/ledger.ts';
import { lockAccounts } from '../../../examples/bank/read-model.ts';
import { createBankSchema } from '../../../examples/bank/schema.ts';
import { createPool } from '../../../src/platform/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

describe('checkConservation', () => {
  let database: TestDatabase;
  let pool: Pool;

  before(async () => {
    database = await createTestDatabase('empty');
    // A single connection, so that the pool can be passed as a transaction.
    pool = createPool({ connectionString: database.url, max: 1, applicationName: 'bank tests' });
    await createBankSchema(pool);
    // A table with the columns of inbox.entries that the check reads. The inbox itself would never write these violations.
    await pool.query(`
    create schema inbox;
    create type inbox.entry_status as enum ('Pending', 'Processing', 'Completed', 'Failed', 'DeadLetter');
    create table inbox.entries (message_id text primary key, command_type text, payload jsonb, status inbox.entry_status)`);
  });

  after(async () => {
    await pool.end();
    await database.drop();
  });

  beforeEach(async () => {
    await pool.query('truncate bank.events, bank.accounts, inbox.entries');
    for (const id of ['a', 'b']) {
      await recordOpening(pool, `open-${id}`, id, open(null, { id, owner: id, openingBalanceCents: 100 }));
    }
    await addEntry('pay-1', 'Completed', 30);
    await transfer('pay-1', 30);
  });

  async function addEntry(messageId: string, status: string, amountCents: number): Promise<void> {
    await pool.query('insert into inbox.entries values ($1, $2, $3, $4)', [
      messageId,
      'TransferFunds',
      { from: 'a', to: 'b', amountCents },
      status,
    ]);
  }

  async function transfer(messageId: string, amountCents: number): Promise<void> {
    const accountOf = await lockAccounts(pool, ['a', 'b']);
    const [from, to] = [accountOf('a'), accountOf('b')];
    await record(pool, messageId, [
      { account: from, events: sendTransfer(from, 'b', amountCents) },
      { account: to, events: receiveTransfer('a', amountCents) },
    ]);
  }

  async function problems(): Promise<string[]> {
    return (await checkConservation(pool)).problems;
  }

  void describe('reports', () => {
    void it('no problem for a consistent bank', async () => {
      await addEntry('pay-2', 'DeadLetter', 1_000);
      await addEntry('pay-3', 'Failed', 1);
      const account = (await lockAccounts(pool, ['a']))('a');
      await record(pool, 'top-up', [{ account, events: deposit(5) }]);
      assert.deepEqual(await checkConservation(pool), {
        accounts: 2,
        balanceCents: 205n,
        depositedCents: 205n,
        problems: [],
      });
    });

    void it('no problem for an empty bank', async () => {
      await pool.query('truncate bank.events, bank.accounts, inbox.entries');
      assert.deepEqual(await checkConservation(pool), {
        accounts: 0,
        balanceCents: 0n,
        depositedCents: 0n,
        problems: [],
      });
    });

    void it('money that was never deposited', async () => {
      await pool.query(`update bank.accounts set balance_cents = balance_cents + 1 where id = 'a'`);
      assert.deepEqual(await problems(), [
        'accounts hold 201 cents, but 200 were deposited',
        'account a: the read model has version 3 and 71 cents, its 3 events make version 3 and 70 cents',
      ]);
    });

    void it('money in the wrong account', async () => {
      await pool.query(
        `update bank.accounts set balance_cents = balance_cents + case id when 'a' then 1 else -1 end`,
      );
      assert.equal((await problems()).length, 2);
    });

    void it('an account without events, and events without an account', async () => {
      await pool.query(`update bank.accounts set id = 'c' where id = 'a'`);
      assert.deepEqual(
        (await problems()).map((problem) => problem.slice(0, 10)),
        ['account a:', 'account c:'],
      );
    });

    void it('a transfer that took effect twice', async () => {
      await transfer('pay-1', 30);
      assert.deepEqual(await problems(), [
        'transfer pay-1 is Completed, with 2 withdrawals and 2 deposits of 30 cents',
      ]);
    });

    void it('a transfer of the wrong amount', async () => {
      await addEntry('pay-2', 'Completed', 2);
      await transfer('pay-2', 3);
      assert.deepEqual(await problems(), [
        'transfer pay-2 is Completed, with 1 withdrawals and 1 deposits of 3 cents',
      ]);
    });

    void it('a Completed transfer without effect', async () => {
      await addEntry('pay-2', 'Completed', 2);
      assert.deepEqual(await problems(), [
        'transfer pay-2 is Completed, with 0 withdrawals and 0 deposits of 0 cents',
      ]);
    });

    void it('an effect of a transfer that is not Completed or not in the inbox', async () => {
      await addEntry('pay-2', 'DeadLetter', 2);
      await transfer('pay-2', 2);
      await transfer('pay-3', 2);
      assert.deepEqual(
        (await problems()).map((problem) => problem.split(',')[0]),
        ['transfer pay-2 is DeadLetter', 'transfer pay-3 is unknown to the inbox'],
      );
    });
  });
});
