/** A sender stores an id, or takes a lock, and leaves its transaction open. Nobody else may be delayed for long. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, Pool } from 'pg';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { sqlState } from '../../../src/platform/postgres.ts';
import { MessageLockedError, ResultTimeoutError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { migrate } from '../../../src/store/migrate.ts';
import { createTestDatabase } from '../../support/database.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { createLogin } from '../../support/login.ts';
import type { TestLogin } from '../../support/login.ts';
import { eventually } from '../../support/wait.ts';

const note = defineCommand({ type: 'Note', schema: z.any(), handle: () => ({ noted: true }) });
const dies = defineCommand({
  type: 'Dies',
  schema: z.any(),
  retry: { maximumAttempts: 1 },
  handle() {
    throw new Error('expected failure');
  },
});
/** Advisory locks that every login can take. */
const ALERTS_LOCK = '8071829304702';
const MIGRATIONS_LOCK = '8071829304651';

const message = (messageId: string, payload = {}) => ({ messageId, type: 'Note', payload });

describe('while another transaction holds message ids', () => {
  let fixture: TestInbox;
  let sender: TestLogin;
  let attacker: Client;
  let pool: Pool;
  let inbox: Inbox;
  const alerted: string[] = [];

  before(async () => {
    fixture = await createTestInbox();
    sender = await createLogin(fixture.database, 'inbox_sender');
    pool = new Pool({ connectionString: sender.url, max: 2 });
    pool.on('error', () => {});
    inbox = await createInbox({ pool });
    attacker = new Client({ connectionString: sender.url });
    await attacker.connect();
    await fixture.startWorker([note, dies], { alertWindowMs: 100 }, undefined, ({ messageIds }) => {
      alerted.push(...messageIds);
    });
  });
  after(async () => {
    await attacker.query('rollback');
    await attacker.end();
    await inbox.close();
    await pool.end();
    await sender.drop();
    await fixture.close();
  });

  async function hold(ids: readonly string[]): Promise<void> {
    await attacker.query('rollback; begin');
    for (const id of ids) await attacker.query(`select inbox.send($1, 'Note', '{}')`, [id]);
  }

  it('other messages are sent and executed, and sends of the held ids fail', async () => {
    const held = Array.from({ length: 40 }, (_, index) => fixture.id(`held-${index}`));
    await hold(held);
    const sends = held.map((id) => inbox.send(message(id)));
    const refused = Promise.all(sends.map((send) => assert.rejects(send, MessageLockedError)));
    // The first batch mixes free and held ids; later batches contain only free ids.
    const others = Array.from({ length: 20 }, (_, index) => fixture.id(`free-${index}`));
    for (const sent of await Promise.all(others.map((id) => inbox.send(message(id)))))
      assert.equal(sent.answer, 'accepted');
    assert.deepEqual(await inbox.execute(message(fixture.id('executed'))), { noted: true });
    await refused;
  });

  it('a send is accepted if that transaction rolls back in time, and a duplicate if it commits', async () => {
    const [rolledBack, committed] = [fixture.id('rolled-back'), fixture.id('committed')];
    await hold([rolledBack]);
    const accepted = inbox.send(message(rolledBack));
    await pool.query('select 1');
    await attacker.query('rollback');
    assert.equal((await accepted).answer, 'accepted');
    await hold([committed]);
    const duplicate = inbox.send(message(committed));
    const conflict = assert.rejects(inbox.send(message(committed, { other: true })), /another command type/);
    await pool.query('select 1');
    await attacker.query('commit');
    assert.equal((await duplicate).answer, 'duplicate');
    await conflict;
  });

  it('an execute ends at its timeout or when its signal is aborted', async () => {
    const id = fixture.id('timed-out');
    await hold([id]);
    await assert.rejects(inbox.execute(message(id), { timeoutMs: 200 }), ResultTimeoutError);
    const abort = new AbortController();
    const aborted = inbox.execute(message(id), { signal: abort.signal });
    abort.abort(new Error('aborted by the test'));
    await assert.rejects(aborted, /aborted by the test/);
  });

  it("a send in a caller's transaction fails and names the message", async () => {
    const id = fixture.id('in-a-transaction');
    await hold([id]);
    const client = await pool.connect();
    await client.query('begin');
    const error = await inbox.send(message(id), { tx: client }).catch((thrown: unknown) => thrown);
    await client.query('rollback');
    client.release();
    assert.ok(error instanceof MessageLockedError);
    assert.deepEqual(error.messageIds, [id]);
    await assert.rejects(inbox.send([message(id), message(fixture.id('other'))]), MessageLockedError);
  });

  it("inbox.send fails with its own SQLSTATE and does not change the caller's lock_timeout", async () => {
    const id = fixture.id('in-sql');
    await hold([id]);
    const sends = [
      'select inbox.send($1, $2, $3)',
      // The shorter timeout applies.
      `with shorter as materialized (select set_config('lock_timeout', '50ms', true) as was)
       select inbox.send($1, $2, $3) from shorter where was <> ''`,
    ];
    for (const send of sends) {
      await assert.rejects(pool.query(send, [id, 'Note', '{}']), (error) => {
        assert.match((error as Error).message, new RegExp(`message_id '${id}' is held`));
        return sqlState(error) === 'IB005';
      });
    }
    const client = await pool.connect();
    await client.query(`begin; set local lock_timeout = '1234ms'`);
    await client.query(`select inbox.send($1, 'Note', '{}')`, [fixture.id('free-in-sql')]);
    const { rows } = await client.query('show lock_timeout');
    assert.deepEqual(rows, [{ lock_timeout: '1234ms' }]);
    await client.query('rollback');
    client.release();
  });

  it('commands with those ids that Temporal starts wait, but no other commands do', async () => {
    const held = Array.from({ length: 40 }, (_, index) => fixture.id(`started-${index}`));
    // Types that the worker does not know.
    const unknown = Array.from({ length: 40 }, (_, index) => fixture.id(`unknown-${index}`));
    await hold([...held, ...unknown]);
    for (const id of unknown) await fixture.start(id, { commandType: 'Unknown', payload: {} });
    const started = await Promise.all(
      held.map((id) => fixture.start(id, { commandType: 'Note', payload: {} })),
    );
    for (let index = 0; index < 5; index += 1) {
      const victim = await fixture.start(fixture.id(`victim-${index}`), { commandType: 'Note', payload: {} });
      assert.deepEqual(await victim.result(), { noted: true });
      assert.deepEqual(
        await inbox.execute(message(fixture.id(`sent-victim-${index}`)), { timeoutMs: 90_000 }),
        { noted: true },
      );
    }
    for (const id of held) assert.equal(await fixture.entry(id), null);
    await attacker.query('rollback');
    assert.deepEqual(
      await Promise.all(started.map((handle) => handle.result())),
      held.map(() => ({ noted: true })),
    );
  });

  it('dead letters cause alerts even if someone holds the lock that earlier releases used', async () => {
    await attacker.query('rollback');
    await attacker.query(`select pg_advisory_lock(${ALERTS_LOCK})`);
    const id = fixture.id('dies');
    await inbox.send({ messageId: id, type: 'Dies', payload: {} });
    await eventually('the alert was delivered', () => alerted.includes(id));
    await attacker.query('select pg_advisory_unlock_all()');
  });
});

describe('the migration lock of earlier releases', () => {
  it('does not block migrations', async () => {
    const database = await createTestDatabase();
    const attacker = new Client({ connectionString: database.url });
    await attacker.connect();
    await attacker.query(`drop schema inbox cascade; select pg_advisory_lock(${MIGRATIONS_LOCK})`);
    // Two migrations at once, on an empty database.
    const reports = await Promise.all([migrate(database.pool), migrate(database.pool)]);
    const names = reports.flatMap(({ applied }) => applied.map(({ name }) => name));
    assert.ok(names.includes('0001_inbox.sql'), names.join());
    assert.equal(new Set(names).size, names.length);
    await attacker.end();
    await database.drop();
  });
});
