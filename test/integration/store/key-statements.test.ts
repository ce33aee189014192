/**
 * A statement that addresses rows by their key must not be able to use the partial index of a state: under a snapshot that is
 * held open, such an index is full of dead entries, and the planner, whose statistics call it empty, prefers it.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { PoolClient } from 'pg';
import type { Queryable } from '../../../src/platform/queryable.ts';
import { beginAlertTry, noteDelivered, noteUndelivered, releaseAlerts } from '../../../src/store/alerts.ts';
import { discardDeadLetter, replayDeadLetter, restoreDeadLetter } from '../../../src/store/dead-letters.ts';
import * as entries from '../../../src/store/entries.ts';
import { recordDeadLetter, recordTransientFailure } from '../../../src/store/failures.ts';
import { pruneDiscarded } from '../../../src/store/retention-others.ts';
import {
  findKnownMessages,
  findOwnEntry,
  findSettledEntries,
  insertQuietly,
} from '../../../src/store/inserts.ts';
import * as starts from '../../../src/store/dispatch.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { seedDeadLetters } from '../../support/dead-letters.ts';
import { callsFunction, scannedIndexes } from '../../support/index-scans.ts';

const ID = '00000000-0000-0000-0000-000000000001';
const message = {
  messageId: 'm',
  commandType: 'T',
  payload: {},
  correlationId: null,
  causationId: null,
  metadata: {},
};
const failed = {
  messageId: 'm',
  attempt: 1,
  errorType: 'E',
  error: 'E',
  stack: null,
  retryable: true,
  worker: 'w',
  buildId: null,
};
const note = { messageId: 'm', actor: 'a', reason: null, deadLetterId: ID };
const completed = { messageId: 'm', attempt: 1, xid: '1', result: null, events: [] };

const STATEMENTS: [what: string, send: (db: Queryable) => Promise<unknown>][] = [
  ['claim', (db) => entries.claimEntry(db, 'm', { onlyDue: true, types: ['T'] })],
  ['insert and claim', (db) => entries.insertAndClaimEntry(db, message)],
  ['find', (db) => entries.findEntry(db, 'm')],
  ['find waiting', (db) => entries.findWaitingEntry(db, 'm')],
  ['lock', (db) => entries.lockAttempt(db, 'm', 1, 1_000)],
  ['complete', (db) => entries.completeEntry(db, completed)],
  ['record a failure', (db) => recordTransientFailure(db, failed, 1, false)],
  ['record a death', (db) => recordDeadLetter(db, failed, { reason: 'exhausted', failureGroup: 'g' }, false)],
  ['replay', (db) => replayDeadLetter(db, { ...note, payload: undefined, changed: null, campaign: null })],
  ['discard', (db) => discardDeadLetter(db, note)],
  ['restore', (db) => restoreDeadLetter(db, note)],
  ['prune a discarded one', (db) => pruneDiscarded(db, [ID])],
  ['send', (db) => insertQuietly(db, [{ ...message, replyTo: null, taken: null }])],
  ['find known', (db) => findKnownMessages(db, [message])],
  ['find one of its own', (db) => findOwnEntry(db, 'm')],
  ['find settled', (db) => findSettledEntries(db, [ID])],
  ['give an attempt back', (db) => entries.giveBackAttempt(db, 'm', 1, { interrupted: true, takenAgoMs: 0 })],
  ['release pending', (db) => starts.releasePendingEntries(db, ['m'])],
  ['release unrecorded', (db) => starts.releaseUnrecordedEntries(db, ['m'])],
  ['note started', (db) => starts.noteWorkflowsStarted(db, ['m'])],
  ['begin an alert', (db) => beginAlertTry(db, ID, 1)],
  ['note delivered', (db) => noteDelivered(db, ID, 'hook')],
  ['note undelivered', (db) => noteUndelivered(db, ID, 'hook', { error: 'e', givenUp: true })],
  ['release alerts', (db) => releaseAlerts(db, [ID])],
];

describe('statements that address rows by their key', () => {
  let database: TestDatabase;
  let client: PoolClient;
  const partial: string[] = [];

  before(async () => {
    database = await createTestDatabase();
    client = await database.pool.connect();
    // Statements that follow from one another look for their rows only where the first has found one.
    await seedDeadLetters(database.pool, ['m'], { commandType: 'T', payload: {}, failureGroup: 'g' });
    await database.pool.query('update inbox.dead_letters set id = $1', [ID]);
    // In a transaction that is rolled back: without the keys' indexes, a plan shows whether any other index could serve.
    await client.query('begin; set local enable_seqscan = off');
    const { rows } = await client.query<{
      name: string;
      predicate: string | null;
      constraint: string | null;
      on: string;
    }>(
      `select i.indexrelid::regclass::text as name, pg_get_expr(i.indpred, i.indrelid) as predicate, c.conname as constraint,
              i.indrelid::regclass::text as on
       from pg_index i left join pg_constraint c on c.conindid = i.indexrelid and c.contype in ('p', 'u')
       where i.indrelid in ('inbox.entries'::regclass, 'inbox.dead_letters'::regclass, 'inbox.alerts'::regclass)`,
    );
    for (const { name, predicate, constraint, on } of rows) {
      // Keyed by the message itself.
      if (predicate !== null && name !== 'inbox.dead_letters_open') partial.push(name.replace('inbox.', ''));
      else if (constraint) await client.query(`alter table ${on} drop constraint ${constraint} cascade`);
      else await client.query(`drop index ${name}`);
    }
    assert.ok(partial.length >= 8, partial.join());
  });
  after(async () => {
    await client.query('rollback');
    client.release();
    await database.drop();
  });

  for (const [what, send] of STATEMENTS) {
    it(`${what}: cannot use a partial index`, async () => {
      const sent: [string, unknown[]][] = [];
      const recording = {
        async query(input: string | { text: string; values: unknown[] }, values: unknown[] = []) {
          if (typeof input === 'string') sent.push([input, values]);
          else sent.push([input.text, input.values]);
          return { rows: [], rowCount: 0 };
        },
      } as unknown as Queryable;
      await send(recording).catch(() => {});
      assert.ok(sent.length > 0, 'a statement was sent');
      for (const [text, values] of sent) {
        // "on conflict" needs the unique index that was dropped; what it can use is that index and nothing else.
        if (/on conflict \(message_id\)/.test(text)) continue;
        const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain ${text}`, values);
        const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
        for (const name of partial) {
          // By its own key is fine: that is one probe.
          const scans = plan.split(`using ${name} `).slice(1);
          assert.ok(
            scans.every((rest) => /^.*\n *Index Cond: \(id = /.test(rest)),
            `${name} is used:\n${plan}`,
          );
          assert.ok(!plan.includes(`Bitmap Index Scan on ${name}`), plan);
        }
        // The plans of a function's statements are not shown, so it is called, and the scans are counted.
        if (callsFunction(text)) assert.deepEqual(await scannedIndexes(client, partial, text, values), []);
      }
    });
  }
});
