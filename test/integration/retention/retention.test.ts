import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Pool } from 'pg';
import { ConfigurationError, SchemaError } from '../../../src/core/errors.ts';
import { prune } from '../../../src/retention/retention.ts';
import { listDeadLetters } from '../../../src/store/dead-letters.ts';
import { findEntry } from '../../../src/store/entries.ts';
import { listFailures } from '../../../src/store/failures.ts';
import { createTestDatabase, truncate } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { rows } from '../../support/inbox.ts';
import { complete, resolveLetter, seedCompleted, seedEvent, seedMany, seedOpen } from '../../support/seed.ts';

const DAY = 86_400_000;
const OPEN = ['Pending', 'Processing', 'Failed', 'DeadLetter'] as const;
const EVERYTHING = { completedOlderThanMs: 0, outboxOlderThanMs: 0, deadLettersOlderThanMs: 0 };

describe('retention', () => {
  let database: TestDatabase;
  let pool: Pool;

  before(async () => {
    database = await createTestDatabase();
    pool = database.pool;
  });
  beforeEach(async () => {
    await truncate(pool, 'inbox.entries, inbox.outbox, inbox.retention_left');
    await pool.query(`update inbox.retention set settled_to = '00000000-0000-0000-0000-000000000000'`);
  });
  after(() => database.drop());

  const isPruned = async (messageId: string) => (await findEntry(pool, messageId))!.prunedAt !== null;
  const left = () => rows(pool, 'select from inbox.retention_left');
  /** All rows that retention can touch, to check that nothing changed and to search for canaries. */
  const dump = () =>
    rows<{ row: string }>(
      pool,
      `select to_jsonb(t)::text as row from inbox.entries t union all
       select to_jsonb(t)::text from inbox.failures t union all
       select to_jsonb(t)::text from inbox.dead_letters t union all
       select to_jsonb(t)::text from inbox.outbox t union all
       select to_jsonb(t)::text from inbox.retention t union all
       select to_jsonb(t)::text from inbox.retention_left t order by row`,
    );
  const canaries = async () => (await dump()).filter(({ row }) => row.includes('canary'));

  it('deletes payload, metadata, result and failure texts by processed_at, and keeps the rest of the entry', async () => {
    await seedCompleted(pool, 'old', { days: 31 });
    await seedCompleted(pool, 'late', { days: 31, completedDays: 29 });
    const unpruned = (await findEntry(pool, 'old'))!;
    const { entries } = await prune(pool, { completedOlderThanMs: 30 * DAY });

    assert.equal(entries, 1);
    const { prunedAt, ...pruned } = (await findEntry(pool, 'old'))!;
    assert.ok(prunedAt);
    const { prunedAt: _, ...untouched } = unpruned;
    assert.deepEqual(pruned, { ...untouched, payload: null, metadata: {}, result: null });
    const [failure] = await listFailures(pool, 'old');
    assert.equal(failure!.error, 'Broken');
    assert.equal(failure!.stack, null);
    assert.equal(failure!.attempt, 1);
    assert.deepEqual((await findEntry(pool, 'late'))!.payload, { secret: 'canary' });
    assert.equal((await listFailures(pool, 'late'))[0]!.error, 'Broken: canary');
  });

  it('never touches open entries, regardless of their age', async () => {
    for (const status of OPEN) await seedOpen(pool, `open-${status}`, status, { days: 400 });
    await seedOpen(pool, 'replayed', 'DeadLetter', { days: 400 });
    await resolveLetter(pool, 'replayed', 'replayed', 390);
    await seedEvent(pool, 'Unpublished', { days: 400, publishedDays: null });
    const original = await canaries();
    const report = await prune(pool, EVERYTHING);

    assert.deepEqual([report.entries, report.deadLetters, report.outbox], [0, 0, 0]);
    assert.deepEqual(await canaries(), original);
  });

  it('prunes entries that completed long after a run had to leave them behind', async () => {
    for (const status of OPEN) await seedOpen(pool, `late-${status}`, status, { days: 100 });
    await seedCompleted(pool, 'after-them', { days: 99 });
    assert.equal((await prune(pool, { completedOlderThanMs: 30 * DAY })).entries, 1);
    assert.equal((await left()).length, OPEN.length);

    await resolveLetter(pool, 'late-DeadLetter', 'replayed', 45);
    for (const status of OPEN) await complete(pool, `late-${status}`, 40);
    assert.equal((await prune(pool, { completedOlderThanMs: 50 * DAY })).entries, 0);
    assert.equal((await prune(pool, { completedOlderThanMs: 30 * DAY })).entries, OPEN.length);
    assert.equal((await left()).length, 0);
  });

  it('does not reread settled entries except those of the last day', async () => {
    await seedMany(
      pool,
      Array.from({ length: 30 }, (_, index) => `settled-${index}`),
      { days: 40 },
    );
    await seedCompleted(pool, 'today', { days: 0 });
    await prune(pool, { completedOlderThanMs: 0, batchSize: 10 });
    let walked = 0;
    await prune(pool, { completedOlderThanMs: 0, batchSize: 1, onProgress: () => (walked += 1) });
    assert.equal(walked, 1);
    // A transaction that commits now may have written its row hours ago.
    await seedCompleted(pool, 'committed-late', { days: 0.5 });
    assert.equal((await prune(pool, { completedOlderThanMs: 0 })).entries, 1);
  });

  it('deletes replayed dead letters by their own age and keeps the audit', async () => {
    for (const [id, days] of [
      ['replayed-90', 91],
      ['replayed-80', 80],
    ] as const) {
      await seedOpen(pool, id, 'DeadLetter', { days: 200 });
      await resolveLetter(pool, id, 'replayed', days);
      await complete(pool, id, days);
    }
    const { deadLetters, entries } = await prune(pool, {
      completedOlderThanMs: 365 * DAY,
      deadLettersOlderThanMs: 90 * DAY,
    });
    assert.deepEqual([deadLetters, entries], [1, 0]);
    assert.deepEqual(await listDeadLetters(pool, 'replayed-90'), []);
    assert.equal((await listDeadLetters(pool, 'replayed-80')).length, 1);
    // Failures are emptied with their entry, which is not old enough.
    assert.equal((await listFailures(pool, 'replayed-90'))[0]!.error, 'Broken: canary');
    assert.equal((await rows(pool, `select from inbox.audit where message_id = 'replayed-90'`)).length, 1);
  });

  it('empties a discarded dead letter and its entry but keeps the record that it was discarded', async () => {
    for (const [id, days] of [
      ['discarded-90', 91],
      ['discarded-80', 80],
    ] as const) {
      await seedOpen(pool, id, 'DeadLetter', { days: 200 });
      await resolveLetter(pool, id, 'discarded', days);
    }
    const report = await prune(pool, { completedOlderThanMs: 0, deadLettersOlderThanMs: 90 * DAY });
    assert.deepEqual([report.deadLetters, report.entries], [1, 0]);
    const [letter] = await listDeadLetters(pool, 'discarded-90');
    assert.equal(letter!.resolution, 'discarded');
    assert.equal(letter!.resolvedReason, 'because');
    assert.ok(letter!.prunedAt);
    const entry = (await findEntry(pool, 'discarded-90'))!;
    assert.equal(entry.status, 'DeadLetter');
    assert.equal(entry.error, 'Broken');
    const about = (await dump()).filter(({ row }) => row.includes('"discarded-90"'));
    assert.ok(about.length >= 3);
    assert.ok(!about.some(({ row }) => row.includes('canary')));
    assert.deepEqual((await listDeadLetters(pool, 'discarded-80'))[0]!.payload, { secret: 'canary' });
  });

  it('deletes outbox rows by their time of publication', async () => {
    await seedEvent(pool, 'Old', { days: 10, publishedDays: 8 });
    await seedEvent(pool, 'PublishedLate', { days: 10, publishedDays: 6 });
    await seedEvent(pool, 'Unpublished', { days: 10, publishedDays: null });
    await seedEvent(pool, 'Old', { days: 9, publishedDays: 9 });
    const { outbox } = await prune(pool, {
      completedOlderThanMs: 0,
      outboxOlderThanMs: 7 * DAY,
      batchSize: 1,
    });
    assert.equal(outbox, 2);
    const kept = await rows<{ type: string }>(pool, 'select type from inbox.outbox order by type');
    assert.deepEqual(
      kept.map(({ type }) => type),
      ['PublishedLate', 'Unpublished'],
    );
  });

  it('does not touch dead letters and the outbox if no age is given for them', async () => {
    await seedEvent(pool, 'Old', { days: 400, publishedDays: 400 });
    await seedOpen(pool, 'discarded', 'DeadLetter', { days: 400 });
    await resolveLetter(pool, 'discarded', 'discarded', 400);
    const report = await prune(pool, { completedOlderThanMs: 0 });
    assert.deepEqual([report.deadLetters, report.outbox], [0, 0]);
    assert.equal((await rows(pool, 'select from inbox.outbox')).length, 1);
    assert.equal(await isPruned('discarded'), false);
  });

  it('only counts in a dry run, and the counts are correct', async () => {
    await seedMany(pool, ['a', 'b', 'c'], { days: 40 });
    await seedOpen(pool, 'open', 'DeadLetter', { days: 40 });
    await seedOpen(pool, 'discarded', 'DeadLetter', { days: 40 });
    await resolveLetter(pool, 'discarded', 'discarded', 40);
    await seedEvent(pool, 'Old', { days: 40, publishedDays: 40 });
    const original = await dump();
    const dry = await prune(pool, { ...EVERYTHING, dryRun: true, batchSize: 2 });
    assert.deepEqual(await dump(), original);
    assert.deepEqual([dry.entries, dry.deadLetters, dry.outbox, dry.dryRun], [3, 1, 1, true]);
    assert.deepEqual(await prune(pool, EVERYTHING), { ...dry, dryRun: false });
  });

  it('touches at most as many rows per statement as the batch size', async () => {
    const touched = ['entries', 'failures', 'dead_letters', 'outbox', 'retention_left'];
    await pool.query('create table public.touched (rows bigint)');
    await pool.query(`create function public.note_touched() returns trigger language plpgsql as
      $$ begin insert into public.touched select count(*) from touched_rows; return null; end $$`);
    for (const table of touched)
      for (const event of ['insert', 'update', 'delete']) {
        await pool.query(`create trigger t_${event} after ${event} on inbox.${table}
          referencing ${event === 'delete' ? 'old' : 'new'} table as touched_rows execute function public.note_touched()`);
      }
    await seedMany(
      pool,
      Array.from({ length: 23 }, (_, index) => `bounded-${index}`),
      { days: 40 },
    );
    // One entry with more failures than a batch has rows.
    await pool.query(`insert into inbox.failures (message_id, generation, attempt, error_type, error, retryable)
      select 'bounded-0', 0, n, 'Broken', 'Broken: canary', true from generate_series(10, 40) n`);
    for (let index = 0; index < 9; index += 1) {
      await seedOpen(pool, `parked-${index}`, 'DeadLetter', { days: 40 });
      await resolveLetter(pool, `parked-${index}`, index % 2 ? 'replayed' : 'discarded', 40);
      if (index % 2) await complete(pool, `parked-${index}`, 40);
      await seedOpen(pool, `open-${index}`, 'Pending', { days: 40 });
      await seedEvent(pool, 'Old', { days: 40, publishedDays: 40 });
    }
    await pool.query('truncate public.touched');
    await prune(pool, { ...EVERYTHING, batchSize: 4 });
    const [{ most, total } = { most: 0, total: 0 }] = await rows<{ most: number; total: number }>(
      pool,
      'select max(rows)::integer as most, sum(rows)::integer as total from public.touched',
    );
    await pool.query('drop function public.note_touched cascade; drop table public.touched');
    assert.equal(most, 4);
    // Counts entries, their failures, rows of retention_left, dead letters and events.
    assert.ok(total >= 23 + 4 + 54 + 9 + 9 + 5 + 9, `${total}`);
    assert.equal((await dump()).filter(({ row }) => row.includes('Broken: canary')).length, 0);
  });

  it('shares the work between concurrent runs and counts each row once', async () => {
    const ids = Array.from({ length: 300 }, (_, index) => `shared-${index}`);
    await seedMany(pool, ids, { days: 40 });
    for (let index = 0; index < 30; index += 1) {
      await seedOpen(pool, `gone-${index}`, 'DeadLetter', { days: 40 });
      await resolveLetter(pool, `gone-${index}`, 'discarded', 40);
      await seedEvent(pool, 'Old', { days: 40, publishedDays: 40 });
    }
    const runs = await Promise.all([3, 7, 10].map((batchSize) => prune(pool, { ...EVERYTHING, batchSize })));
    const sum = (count: 'entries' | 'deadLetters' | 'outbox') =>
      runs.reduce((all, run) => all + run[count], 0);
    assert.deepEqual([sum('entries'), sum('deadLetters'), sum('outbox')], [300, 30, 30]);
    assert.deepEqual(await canaries(), []);
    assert.equal((await left()).length, 0);
  });

  it('skips a locked row and prunes it in the next run', async () => {
    await seedMany(pool, ['held', 'free'], { days: 40 });
    const holder = await pool.connect();
    await holder.query('begin');
    await holder.query(`select from inbox.entries where message_id = 'held' for update`);
    assert.equal((await prune(pool, { completedOlderThanMs: 0 })).entries, 1);
    await holder.query('rollback');
    holder.release();
    assert.equal((await prune(pool, { completedOlderThanMs: 0 })).entries, 1);
    assert.ok(await isPruned('held'));
  });

  it('ends after the current batch when its signal is aborted', async () => {
    await seedMany(pool, ['one', 'two', 'three'], { days: 40 });
    const stop = new AbortController();
    const report = await prune(pool, {
      ...EVERYTHING,
      batchSize: 1,
      pauseMs: 60_000,
      signal: stop.signal,
      onProgress: () => stop.abort(),
    });
    assert.deepEqual([report.entries, report.interrupted], [1, true]);
    assert.equal((await prune(pool, EVERYTHING)).entries, 2);
  });

  it('leaves entries that inbox.send still detects as duplicates or conflicts', async () => {
    const send = (payload: string) =>
      rows<{ send: string }>(pool, `select inbox.send('sent', 'Seeded', $1)`, [payload]);
    await seedCompleted(pool, 'sent', { days: 4_000 });
    await prune(pool, { completedOlderThanMs: 0 });
    assert.equal((await send('{"secret": "canary"}'))[0]!.send, 'duplicate');
    await assert.rejects(send('{"secret": "other"}'), { code: 'IB001' });
    assert.equal(await isPruned('sent'), true);
  });

  it('rejects invalid options and a database without the schema', async () => {
    for (const options of [
      { completedOlderThanMs: -1 },
      { completedOlderThanMs: Number.NaN },
      { completedOlderThanMs: 0, outboxOlderThanMs: Infinity },
      { completedOlderThanMs: 0, batchSize: 0 },
    ]) {
      await assert.rejects(prune(pool, options), ConfigurationError);
    }
    const empty = await createTestDatabase('empty');
    await assert.rejects(prune(empty.pool, EVERYTHING), SchemaError);
    await empty.drop();
  });

  it('can only empty completed entries: Postgres constraints protect the payload of all others', async () => {
    await seedOpen(pool, 'open', 'Pending', { days: 1 });
    await seedCompleted(pool, 'done', { days: 1 });
    const refused = { code: '23514' };
    await assert.rejects(pool.query('update inbox.entries set payload = null'), refused);
    await assert.rejects(
      pool.query(`update inbox.entries set payload = null, metadata = '{}', pruned_at = now()
        where message_id = 'open'`),
      refused,
    );
    await assert.rejects(
      pool.query(`update inbox.entries set pruned_at = now() where message_id = 'done'`),
      refused,
    );
  });
});
