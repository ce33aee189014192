/**
 * A statement that finds rows by their key must not be able to use the partial index of a state: while a session holds a
 * snapshot open, such an index is full of dead entries. The planner would still prefer it, because its statistics say
 * that the index is empty.
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
  findKnownInCallersTransaction,
  insertInCallersTransaction,
} from '../../../src/store/callers-transaction.ts';
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

const STATEMENTS: [what: string, send: (db: Queryable) => Promise<unknown>][] = [
  ['claim an entry', (db) => entries.claimEntry(db, 'm', { onlyDue: true, types: ['T'] })],
  ['insert and claim an entry', (db) => entries.insertAndClaimEntry(db, message)],
  ['find an entry', (db) => entries.findEntry(db, 'm')],
  ['find a waiting entry', (db) => entries.findWaitingEntry(db, 'm')],
  ['lock an attempt', (db) => entries.lockAttempt(db, 'm', 1, 1_000)],
  [
    'complete an attempt',
    async (db) => {
      await entries.insertAndClaimEntry(db, { ...message, messageId: 'n' });
      const { xid } = (await entries.lockAttempt(db, 'n', 1, 1_000))!;
      await entries.completeEntry(db, { messageId: 'n', attempt: 1, xid, result: null, events: [] });
    },
  ],
  ['record a failure', (db) => recordTransientFailure(db, failed, 1, false)],
  [
    'record a dead letter',
    (db) => recordDeadLetter(db, failed, { reason: 'exhausted', failureGroup: 'g', details: null }, false),
  ],
  [
    'replay a dead letter',
    (db) => replayDeadLetter(db, { ...note, payload: undefined, changed: null, campaign: null }),
  ],
  ['discard a dead letter', (db) => discardDeadLetter(db, note)],
  ['restore a dead letter', (db) => restoreDeadLetter(db, note)],
  ['prune a discarded dead letter', (db) => pruneDiscarded(db, [ID])],
  ['send a message', (db) => insertQuietly(db, [{ ...message, replyTo: null, taken: null }])],
  ['find known messages', (db) => findKnownMessages(db, [message])],
  ["send a message in a caller's transaction", (db) => insertInCallersTransaction(db, [message])],
  ["find known messages in a caller's transaction", (db) => findKnownInCallersTransaction(db, [message])],
  ['find an entry of the same login', (db) => findOwnEntry(db, 'm')],
  ['find settled entries', (db) => findSettledEntries(db, [ID])],
  [
    'give an attempt back',
    (db) => entries.undoAttemptClaim(db, 'm', 1, { interrupted: true, takenAgoMs: 0 }),
  ],
  ['release pending entries', (db) => starts.releasePendingEntries(db, ['m'])],
  ['release unrecorded entries', (db) => starts.releaseUnrecordedEntries(db, ['m'])],
  ['record started workflows', (db) => starts.noteWorkflowsStarted(db, ['m'])],
  ['begin a delivery attempt of an alert', (db) => beginAlertTry(db, ID, 1)],
  ['record that an alert was delivered', (db) => noteDelivered(db, ID, 'hook')],
  [
    'record that an alert was not delivered',
    (db) => noteUndelivered(db, ID, 'hook', { error: 'e', givenUp: true }),
  ],
  ['release alerts', (db) => releaseAlerts(db, [ID])],
];

describe('statements that find rows by their key', () => {
  let database: TestDatabase;
  let client: PoolClient;
  const partial: string[] = [];
  /** The statements that each function sends. */
  const sent = new Map<string, [text: string, values: unknown[]][]>();

  before(async () => {
    database = await createTestDatabase();
    client = await database.pool.connect();
    // Some functions run further statements only if the first one finds a row.
    await seedDeadLetters(database.pool, ['m'], { commandType: 'T', payload: {}, failureGroup: 'g' });
    await database.pool.query('update inbox.dead_letters set id = $1', [ID]);
    await client.query('begin');
    for (const [what, send] of STATEMENTS) sent.set(what, await record(what, send));
    await client.query('rollback');
    // In a transaction that is rolled back: once the indexes on the keys are dropped, a plan shows whether any other
    // index could be used.
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
      // This index is keyed by the message id itself.
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

  /** Runs the function against the database, so that it sends all its statements, and returns them. */
  async function record(
    what: string,
    send: (db: Queryable) => Promise<unknown>,
  ): Promise<[text: string, values: unknown[]][]> {
    const statements: [text: string, values: unknown[]][] = [];
    const recording = {
      query(input: string | { text: string; values: unknown[] }, values: unknown[] = []) {
        const statement: [string, unknown[]] =
          typeof input === 'string' ? [input, values] : [input.text, input.values];
        statements.push(statement);
        return client.query(...statement);
      },
    } as unknown as Queryable;
    await client.query('savepoint recording');
    await assert.doesNotReject(send(recording), what);
    await client.query('rollback to recording');
    return statements;
  }

  for (const [what] of STATEMENTS) {
    it(`cannot use a partial index: ${what}`, async () => {
      const statements = sent.get(what)!;
      assert.ok(statements.length > 0, 'no statement was sent');
      for (const [text, values] of statements) {
        // "on conflict" needs the unique index that was dropped, and can use no other index.
        if (/on conflict \(message_id\)/.test(text)) continue;
        const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain ${text}`, values);
        const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
        for (const name of partial) {
          // A scan by the index's own key is allowed: it is a single probe.
          const scans = plan.split(`using ${name} `).slice(1);
          assert.ok(
            scans.every((rest) => /^.*\n *Index Cond: \(id = /.test(rest)),
            `${name} is used:\n${plan}`,
          );
          assert.ok(!plan.includes(`Bitmap Index Scan on ${name}`), plan);
        }
        // EXPLAIN does not show the plans inside a function, so call the function and count its index scans.
        if (callsFunction(text)) assert.deepEqual(await scannedIndexes(client, partial, text, values), []);
      }
    });
  }
});
