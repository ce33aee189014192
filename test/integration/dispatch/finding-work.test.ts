/**
 * How workers find work: without reading entries of other types, without walking over entries that were taken before, and
 * without missing entries that were committed late.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import type { Queryable } from '../../../src/platform/queryable.ts';
import type { TypeShare } from '../../../src/store/dispatch.ts';
import {
  OVERDUE_KINDS,
  takeOverdueEntries,
  takePendingEntries,
  takeUnrecordedEntries,
} from '../../../src/store/dispatch.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const MANY = 20_000;
/** How many pages a scan may read: a few for each index, regardless of the number of rows. */
const FEW_PAGES = 60;

const share = (type: string, floor = Number.NEGATIVE_INFINITY): TypeShare[] => [{ type, floor, most: 32 }];

describe('a scan for work', () => {
  let database: TestDatabase;
  before(async () => {
    database = await createTestDatabase();
    await database.pool.query(`set session_replication_role = replica`);
    await seedOverdue('Stranger', 'Pending', '');
    await seedOverdue('Stranger', 'Processing', '');
    await seedOverdue('Stranger', 'Failed', '');
    await seedOverdue('Stranger', 'Completed', ', needs_workflow');
  });
  after(() => database.drop());

  /** Inserts entries of a type that the worker does not know, two hours old. */
  async function seedOverdue(type: string, status: string, more: string): Promise<void> {
    await database.pool.query(
      `insert into inbox.entries (message_id, command_type, payload, status, received_at, attempt, claimed_at, fingerprint,
         processed_at, next_retry_at, error${more})
       select $1 || n, $2, '{}', $3::inbox.entry_status, now() - interval '2 hours', 1, now() - interval '2 hours', '\\x00',
         case when $3 = 'Completed' then now() - interval '1 hour' end, case when $3 = 'Failed' then now() - interval '1 hour' end,
         case when $3 = 'Failed' then 'E' end${more && ', true'}
       from generate_series(1, ${MANY}) as n`,
      [`${type}-${status}-`, type, status],
    );
  }

  /** The number of pages that the statement of `work` reads, as counted by Postgres. */
  async function pagesRead(work: (db: Queryable) => Promise<unknown>): Promise<number> {
    let pages = -1;
    const explaining = {
      async query(text: string, values: unknown[]) {
        const client = await database.pool.connect();
        // The settings of a worker's connections.
        await client.query(
          'begin; set local enable_seqscan = off; set local enable_bitmapscan = off; set local enable_sort = off',
        );
        const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(
          `explain (analyze, buffers, format json) ${text}`,
          values,
        );
        await client.query('rollback');
        client.release();
        const plan = rows[0]!['QUERY PLAN'][0].Plan;
        pages = plan['Shared Hit Blocks']! + plan['Shared Read Blocks']!;
        return { rows: [{ lookedAt: 0, messageId: null }] };
      },
    } as unknown as Queryable;
    await work(explaining);
    return pages;
  }

  const scans: [string, (db: Queryable, shares: TypeShare[]) => Promise<unknown>][] = [
    ['Pending entries', (db, shares) => takePendingEntries(db, shares, [])],
    ...OVERDUE_KINDS.map((kind): (typeof scans)[number] => [
      `overdue entries (${kind})`,
      (db, shares) => takeOverdueEntries(db, kind, shares),
    ]),
    ['unrecorded entries', (db, shares) => takeUnrecordedEntries(db, shares)],
  ];
  for (const [what, scan] of scans) {
    it(`for ${what} does not read entries of other types`, async () => {
      const pages = await pagesRead((db) => scan(db, share('Mine')));
      assert.ok(pages <= FEW_PAGES, `${pages} pages`);
    });
  }

  it('does not walk over entries that were taken before while a snapshot is held open', async () => {
    const { pool } = database;
    const holder = await pool.connect();
    await holder.query('begin isolation level repeatable read; select from inbox.entries limit 1');
    await pool.query(
      `insert into inbox.entries (message_id, command_type, payload, received_at, fingerprint)
       select 'taken-' || n, 'Mine', '{}', now() - interval '1 minute', '\\x00' from generate_series(1, ${MANY}) as n`,
    );
    await pool.query(
      `update inbox.entries set status = 'Completed', processed_at = now(), attempt = 1, claimed_at = now() where command_type = 'Mine'`,
    );
    const full = await pagesRead((db) => takePendingEntries(db, share('Mine'), []));
    const fromFloor = await pagesRead((db) =>
      takePendingEntries(db, share('Mine', Date.now() / 1_000 - 1), []),
    );
    await holder.query('rollback');
    holder.release();
    assert.ok(full > 3 * FEW_PAGES, `a full scan reads the dead entries: ${full} pages`);
    assert.ok(fromFloor <= FEW_PAGES, `${fromFloor} pages`);
  });
});

describe('a command that is committed late', () => {
  let fixture: TestInbox;
  before(async () => (fixture = await createTestInbox()));
  after(() => fixture.close());

  for (const express of [false, true]) {
    it(`is found although newer commands were taken before it (${express ? 'express' : 'workflow'})`, async () => {
      const type = express ? 'LateExpress' : 'Late';
      const command = defineCommand({ type, express, schema: z.object({}), handle: () => null });
      const worker = await fixture.startWorker([command]);
      const late = await fixture.pool.connect();
      const send = 'select inbox.send($1, $2, $3), clock_timestamp() - now() as age';
      await late.query('begin');
      await late.query(send, [fixture.id(`late-${type}`), type, '{}']);
      // Newer commands complete until the late one is well below every floor.
      let round = 0;
      await eventually('the transaction is two seconds old', async () => {
        round += 1;
        const newer = fixture.id(`newer-${type}-${round}`);
        await fixture.pool.query(send, [newer, type, '{}']);
        await fixture.reaches(newer, 'Completed');
        const { rows } = await late.query<{ old: boolean }>(
          `select clock_timestamp() - now() > interval '2 seconds' as old`,
        );
        return rows[0]!.old;
      });
      await late.query('commit');
      late.release();
      await fixture.reaches(fixture.id(`late-${type}`), 'Completed');
      await worker.stop();
    });
  }
});
