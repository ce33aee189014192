/**
 * Sends in transactions of the inbox's own: they are batched, claimed at once if a local worker can run them, and wake the
 * workers in other processes.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { z } from 'zod';
import { createExpressAttempt } from '../../../src/attempts/express-attempt.ts';
import type { ActivityDependencies } from '../../../activities/dependencies.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { createPool } from '../../../src/platform/postgres.ts';
import { createLog } from '../../../src/platform/log.ts';
import { IdempotencyConflictError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { reserveLocally } from '../../../src/sending/local-workers.ts';
import { identifyDatabase } from '../../../src/store/sessions.ts';
import { PENDING_CHANNEL } from '../../../src/store/inserts.ts';
import { entriesAreMany } from '../../../src/store/dispatch.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import { eventually, gate } from '../../support/wait.ts';

const isOfSmall = (name: string) => name.endsWith('_small');

describe('sends without a transaction of the caller', () => {
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  const message = (name: string, payload: Record<string, number> = { n: 1 }) => ({
    messageId: fixture.id(name),
    type: 'Unhandled',
    payload,
  });

  it('are batched if they arrive together, and each gets its own answer', async () => {
    await inbox.send(message('known'));
    const sends = Array.from({ length: 200 }, (_, index) => inbox.send(message(`together-${index % 190}`)));
    const conflict = inbox.send(message('known', { n: 2 }));
    await assert.rejects(conflict, IdempotencyConflictError);
    const answers = (await Promise.all(sends)).map(({ answer }) => answer);
    assert.equal(answers.filter((answer) => answer === 'accepted').length, 190);
    assert.equal(answers.filter((answer) => answer === 'duplicate').length, 10);
    const [stored] = await rows<{ messages: number; transactions: number }>(
      fixture.pool,
      `select count(*)::integer as messages, count(distinct xmin::text)::integer as transactions
       from inbox.entries where message_id like 'together-%'`,
    );
    assert.equal(stored!.messages, 190);
    assert.ok(stored!.transactions < 20, `in ${stored!.transactions} transactions`);
  });

  it('do not fail because Postgres refuses another one of the batch', async () => {
    await fixture.pool.query(`
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not this one'; end $$;
      create trigger refuse before insert on inbox.entries for each row when (new.payload = '{"n": 13}')
        execute function refuse()`);
    const sends = Array.from({ length: 20 }, (_, n) => inbox.send(message(`refused-${n}`, { n })));
    const settled = await Promise.allSettled(sends);
    const refused = settled.flatMap(({ status }, n) => (status === 'rejected' ? [n] : []));
    assert.deepEqual(refused, [13]);
    assert.match(String((settled[13] as PromiseRejectedResult).reason), /not this one/);
    await fixture.pool.query('drop trigger refuse on inbox.entries');
  });

  it('wake workers of other processes, once for many sends', async () => {
    const listener = new Client({ connectionString: fixture.database.url });
    await listener.connect();
    let heard = 0;
    listener.on('notification', () => (heard += 1));
    await listener.query(`listen ${PENDING_CHANNEL}`);
    const sends = Array.from({ length: 100 }, (_, index) => inbox.send(message(`woken-${index}`)));
    await Promise.all(sends);
    await eventually('a notification has arrived', async () => heard > 0);
    assert.ok(heard <= 10, `woken ${heard} times`);
    await listener.end();
  });

  it('continue after a connection has lost its prepared statements', async () => {
    const pool = createPool({ connectionString: fixture.database.url, max: 1, applicationName: 'one' });
    const other = await createInbox({ pool });
    await other.send(message('prepared'));
    const [there] = await rows<{ there: number }>(
      pool,
      'select count(*)::integer as there from pg_prepared_statements',
    );
    assert.equal(there!.there, 1);
    // Simulates a proxy that gives each transaction another connection.
    await pool.query('deallocate all');
    assert.equal((await other.send(message('unprepared'))).answer, 'accepted');
    assert.equal((await other.send(message('unprepared'))).answer, 'duplicate');
    await other.close();
    await pool.end();
  });
});

describe('express commands sent from the process of their worker', () => {
  let fixture: TestInbox;
  let inbox: Inbox;
  const release = gate();
  const seen: unknown[] = [];

  const express = defineCommand({
    type: 'Beside',
    express: true,
    schema: z.object({ waits: z.boolean().optional(), list: z.array(z.int()).optional() }),
    async handle({ payload, tx }) {
      if (payload.waits) await release.opened;
      seen.push(payload.list);
      const { rows: prepared } = await tx.query<{ name: string }>('select name from pg_prepared_statements');
      return prepared.map(({ name }) => name);
    },
  });

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
    await fixture.startWorker([express], { expressConcurrency: 8 });
    await eventually('the worker has started', async () => {
      const { answer, entry } = await inbox.send({
        messageId: fixture.id(`probe-${Date.now()}`),
        type: 'Beside',
        payload: {},
      });
      return answer === 'accepted' && entry.status === 'Processing';
    });
  });
  after(async () => {
    release.open();
    await inbox.close();
    await fixture.close();
  });

  it('are claimed by the INSERT, and their payload is independent of the sender’s object', async () => {
    const list = [1, 2];
    const sending = inbox.send({ messageId: fixture.id('claimed'), type: 'Beside', payload: { list } });
    const { entry } = await sending;
    assert.equal(entry.status, 'Processing');
    assert.equal(entry.attempt, 1);
    (entry.payload as { list: number[] }).list.push(3);
    await fixture.reaches(fixture.id('claimed'), 'Completed');
    assert.deepEqual(
      seen.filter((one) => one !== undefined),
      [[1, 2]],
    );
  });

  it('leave slots for commands from elsewhere, and wait in the table if there are no slots', async () => {
    const database = await identifyDatabase(fixture.pool);
    await eventually(
      'the slots of previous commands are free, shortly after their rows are Completed',
      async () => {
        const any = {
          messageId: 'any',
          commandType: 'Beside',
          payload: {},
          correlationId: null,
          causationId: null,
          metadata: {},
        };
        const slots = Array.from({ length: 7 }, () => reserveLocally(database, any));
        for (const slot of slots) slot?.release();
        return slots.every((slot) => slot !== null);
      },
    );
    const held = Array.from({ length: 12 }, (_, index) =>
      inbox.send({ messageId: fixture.id(`held-${index}`), type: 'Beside', payload: { waits: true } }),
    );
    const statuses = (await Promise.all(held)).map(({ entry }) => entry.status);
    assert.equal(statuses.filter((status) => status === 'Processing').length, 7);
    assert.equal(statuses.filter((status) => status === 'Pending').length, 5);
    release.open();
    for (let index = 0; index < 12; index += 1) {
      await fixture.reaches(fixture.id(`held-${index}`), 'Completed');
    }
  });

  it('keep their plans, and make new ones once the table is no longer small', async () => {
    const plansOf = async (name: string) =>
      (await inbox.execute({ messageId: fixture.id(name), type: 'Beside', payload: {} })) as string[];
    assert.equal(await entriesAreMany(fixture.pool), false);
    const few = await plansOf('few');
    assert.ok(few.length > 0 && few.every(isOfSmall), few.join());
    await fixture.pool.query(`
      insert into inbox.entries (message_id, command_type, payload, status, attempt, claimed_at, processed_at, fingerprint)
      select 'old-' || n, 'Old', jsonb_build_object('text', repeat('x', 200)), 'Completed', 1, now(), now(), '\\x00'
      from generate_series(1, 2500) n`);
    assert.equal(await entriesAreMany(fixture.pool), true);
    await eventually('a handler’s connection has made new plans', async () => {
      const names = await plansOf(`many-${Date.now()}`);
      return names.some((name) => !isOfSmall(name));
    });
    const plan = await rows<{ 'QUERY PLAN': string }>(
      fixture.pool,
      `explain select from inbox.entries where message_id = 'old-1' and attempt = 1 and status = 'Processing' for update`,
    );
    assert.match(JSON.stringify(plan), /Index Scan using entries_message_id_key/);
  });

  it('are returned to the table if there is no connection for their attempt', async () => {
    const messageId = fixture.id('given-back');
    await fixture.pool.query(
      `insert into inbox.entries (message_id, command_type, payload, status, attempt, claimed_at, fingerprint)
       values ($1, 'Elsewhere', '{}', 'Processing', 1, now(), '\\x00')`,
      [messageId],
    );
    const nowhere = createPool({
      connectionString: 'postgres://127.0.0.1:1/nowhere',
      max: 1,
      applicationName: 'nowhere',
    });
    const attempt = createExpressAttempt({
      attempts: nowhere,
      records: fixture.pool,
      log: createLog('error', () => {}),
    } as ActivityDependencies);
    const entry = (await fixture.entry(messageId))!;
    assert.deepEqual(await attempt(entry), { kind: 'settled' });
    const given = (await fixture.entry(messageId))!;
    assert.deepEqual([given.status, given.attempt, given.retryCount], ['Pending', 1, 0]);
    await nowhere.end();
  });
});

describe('commands sent from the process of their worker', () => {
  let fixture: TestInbox;
  let inbox: Inbox;
  const release = gate();

  const waiting = defineCommand({
    type: 'Waiting',
    schema: z.object({ waits: z.boolean().optional() }),
    async handle({ payload }) {
      if (payload.waits) await release.opened;
    },
  });
  const send = (name: string, waits = false) =>
    inbox.send({ messageId: fixture.id(name), type: 'Waiting', payload: { waits } });
  /** Whether the statement that inserted the entry also leased it. */
  const leasedByInsert = async (name: string) => {
    const sql = 'select relayed_at = received_at as leased from inbox.entries where message_id = $1';
    const [entry] = await rows<{ leased: boolean | null }>(fixture.pool, sql, [fixture.id(name)]);
    return entry!.leased === true;
  };

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
    await fixture.startWorker([waiting], { concurrency: 8 });
    await eventually('the worker has started', async () => {
      const name = `probe-${Date.now()}`;
      await send(name);
      return leasedByInsert(name);
    });
  });
  after(async () => {
    release.open();
    await inbox.close();
    await fixture.close();
  });

  it('are leased by the INSERT, and started without a query for new entries', async () => {
    await send('leased');
    assert.ok(await leasedByInsert('leased'));
    const { status, attempt } = await fixture.reaches(fixture.id('leased'), 'Completed');
    assert.deepEqual([status, attempt], ['Completed', 1]);
  });

  it('leave slots for commands from elsewhere, and wait in the table if there are no slots', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `held-${index}`);
    await eventually('the slots of previous commands are free', async () => {
      const sql = `select from inbox.entries where status <> 'Completed'`;
      return (await rows(fixture.pool, sql)).length === 0;
    });
    await Promise.all(names.map((name) => send(name, true)));
    const leased = await Promise.all(names.map((name) => leasedByInsert(name)));
    assert.ok(leased.filter(Boolean).length <= 7, `${leased.filter(Boolean).length} were leased at once`);
    assert.ok(leased.some(Boolean) && !leased.every(Boolean));
    release.open();
    for (const name of names) await fixture.reaches(fixture.id(name), 'Completed');
  });
});
