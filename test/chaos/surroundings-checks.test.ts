/** Tests the checks of a chaos run that go beyond the checker's own invariants: each must find the problems it is for. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { PublishError } from '../../src/core/errors.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { insertEvents, allPublished, emptyOutbox, startRelay } from '../support/outbox.ts';
import { patchDatabase } from '../support/patched-client.ts';
import { seedOpen } from '../support/seed.ts';
import { eventually } from '../support/wait.ts';
import { ATTEMPT_INVARIANTS } from './attempt-invariants.ts';
import { Broker } from './broker.ts';
import { checkEach, violated } from './checker.ts';
import type { Finding, Invariant } from './checker.ts';
import { Journal } from './journal.ts';
import { isAllPublished, PUBLISHED_INVARIANTS } from './published.ts';
import { changedEntries } from './release-faults.ts';
import { chain, custom, rewrite } from './seed.ts';
import type { Seed } from './seed.ts';

const numbers = (findings: readonly Finding[]) => violated(findings).map(({ name }) => name.split(' ')[0]);

describe('the checks of a chaos run beyond the checker', () => {
  let database: TestDatabase;
  before(async () => {
    database = await createTestDatabase();
    await database.pool.query('create schema chaos');
  });
  after(() => database.drop());

  const check = (invariants: readonly Invariant[]) => checkEach(database.pool, invariants);

  /** Lets the relay, with these bugs, publish 60 events to a broker that refuses one of three aggregates at first. */
  async function publish(seeds: readonly Seed[]): Promise<void> {
    const { pool, url } = database;
    await emptyOutbox(pool);
    patchDatabase(url, { patch: chain(seeds), separatePool: pool, answered: () => {} });
    const broker = new Broker();
    broker.refuse({ aggregateId: 'a1', how: 'named' });
    await insertEvents(pool, 60, 3);
    const relay = startRelay({
      databaseUrl: url,
      batchSize: 20,
      async publish(events) {
        const answer = broker.take(events);
        if (broker.sinceRefusal.acceptedOfOthers > 0) broker.refuse(null);
        const problem = 'refused';
        if (answer)
          throw new PublishError(problem, { rejected: answer.rejected!.map((id) => ({ id, problem })) });
      },
    });
    await allPublished(pool);
    // The aggregate stays parked until the relay has recorded that its last event was accepted. A relay that is stopped before
    // leaves that to the next one.
    if (seeds.length === 0) await eventually('nothing is parked', () => isAllPublished(pool));
    await eventually('each bug has changed its statement, whose text is as the bug expects', () => {
      assert.deepEqual(
        seeds.flatMap(({ untouched }) => [...untouched]),
        [],
      );
      return true;
    });
    await relay.stop();
    await broker.store(pool);
  }

  it('find no violation by the unmodified outbox relay', async () => {
    await publish([]);
    assert.deepEqual(numbers(await check(PUBLISHED_INVARIANTS)), []);
    assert.equal(await isAllPublished(database.pool), true);
  });

  it('find lost, changed and reordered events, and an aggregate that stays parked', async () => {
    const LAST = `(select id from inbox.outbox where aggregateid = 'a2' order by position desc limit 1)`;
    const seeds = [
      custom('an event marked as published', async ({ text, send, separatePool }, done) => {
        if (!text.includes('marked as')) return send();
        await separatePool.query(`update inbox.outbox set published_at = now() where id = ${LAST}`);
        done();
        return send();
      }),
      custom('a changed event', async ({ text, send }, done) => {
        if (!text.includes('"aggregateType"')) return send();
        const answer = await send();
        const [first] = answer.rows as { type: string }[];
        if (!first) return answer;
        first.type = 'Invented';
        done();
        return answer;
      }),
      rewrite('inbox outbox', ['\n  order by o.position', '\n  order by o.position desc']),
      rewrite('inbox outbox', ['inbox.remove_parked($2::bigint, $1::uuid) as done', 'true as done']),
    ];
    await publish(seeds);
    assert.deepEqual(numbers(await check(PUBLISHED_INVARIANTS)), ['15a', '15b', '15c', '15d']);
    assert.equal(await isAllPublished(database.pool), false);
  });

  it('find attempts that should not have been used up', async () => {
    const { pool } = database;
    // A cancellation by an operator, recorded by a worker that does not know the type. It is allowed.
    await seedOpen(pool, 'cancelled', 'DeadLetter', { days: 1 });
    await pool.query(
      `begin; set local session_replication_role = replica;
       update inbox.entries set command_type = 'AddedTransfer' where message_id = 'cancelled';
       update inbox.dead_letters set error_type = 'Cancelled' where message_id = 'cancelled';
       update inbox.failures set error_type = 'Cancelled', build_id = 'older' where message_id = 'cancelled'; commit`,
    );
    assert.deepEqual(numbers(await check(ATTEMPT_INVARIANTS)), []);
    await seedOpen(pool, 'attempted', 'DeadLetter', { days: 1 });
    await seedOpen(pool, 'unknown', 'Failed', { days: 1 });
    await pool.query(
      `begin; set local session_replication_role = replica;
       update inbox.entries set command_type = 'AddedTransfer' where message_id = 'unknown'; commit;
       insert into inbox.failures (message_id, generation, attempt, error_type, error, retryable, build_id)
       values ('unknown', 0, 1, 'SQLSTATE 25006', 'read-only', true, 'older')`,
    );
    assert.deepEqual(numbers(await check(ATTEMPT_INVARIANTS)), ['16b', '16c', '16d']);
  });

  it('find a change to a command whose type no worker knows', () => {
    const waiting = { message_id: 'a', status: 'Pending', attempts: 0, retry_count: 0 };
    assert.deepEqual(changedEntries([waiting], [waiting]), []);
    assert.deepEqual(changedEntries([], [waiting]), []);
    for (const now of [{ attempts: 1 }, { retry_count: 1 }]) {
      assert.equal(changedEntries([waiting], [{ ...waiting, ...now }]).length, 1);
    }
    assert.equal(changedEntries([waiting], []).length, 1);
  });

  it('find two different messages that were accepted under the same id', () => {
    const journal = new Journal();
    const line = { messageId: 'a', commandType: 'Transfer', payload: { cents: 1 } };
    journal.add({ ...line, answer: 'ok' });
    journal.add({ ...line, answer: 'ok' });
    journal.add({ ...line, payload: { cents: 2 }, answer: 'unknown' });
    assert.deepEqual(journal.contradictions, []);
    journal.add({ ...line, payload: { cents: 2 }, answer: 'ok' });
    assert.equal(journal.contradictions.length, 1);
  });
});
