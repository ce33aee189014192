/** The metrics of open work, which one worker at a time reads from Postgres. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startTelemetry } from '../../../src/cli/telemetry/sdk.ts';
import type { Telemetry } from '../../../src/cli/telemetry/sdk.ts';
import { MAX_GROUPS, observeOpenWork } from '../../../src/health/open-work-gauges.ts';
import { createLog } from '../../../src/platform/log.ts';
import { MAX_TYPES } from '../../../src/telemetry/bounded-labels.ts';
import { MAX_GONE } from '../../../src/telemetry/gauge-series.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { insertEvents } from '../../support/outbox.ts';
import { startProxy } from '../../support/proxy.ts';
import { rows } from '../../support/rows.ts';
import { parseSamples, sumOf } from '../../support/samples.ts';
import { seedOpen } from '../../support/seed.ts';

describe('the metrics of open work', () => {
  let telemetry: Telemetry;
  let database: TestDatabase;
  const stops: (() => Promise<void>)[] = [];

  before(async () => {
    telemetry = await startTelemetry({ serveMetrics: true, env: {} }, createLog('error'));
    database = await createTestDatabase();
    stops.push(observe('first'));
  });
  after(async () => {
    for (const stop of stops) await stop();
    await telemetry.shutdown();
    await database.drop();
  });

  const observe = (identity: string, databaseUrl = database.url) =>
    observeOpenWork({
      databaseUrl,
      identity,
      // A test makes Postgres unreachable.
      log: createLog('error'),
      freshMs: 0,
      oldSnapshotMs: 0,
    });
  const scrape = async () => parseSamples((await telemetry.metrics())!);
  const read = async (name: string, labels: Record<string, string> = {}) =>
    sumOf(await scrape(), name, labels);

  const count = (status: string) => read('inbox_entries', { type: 'Transfer', status });
  const age = async (status: string) => (await read('inbox_oldest_age', { status })) ?? Number.NaN;
  const items = (state: string) => read('inbox_campaign_items', { state });
  const total = async () => read('inbox_entries', { type: 'Transfer', status: 'Pending' });
  const holder = async () =>
    (
      await rows<{ name: string }>(database.pool, 'select name from inbox.metrics_lease where until > now()')
    )[0]?.name;

  it('inbox.entries counts commands that are not finished', async () => {
    assert.equal(await count('Pending'), null);
    await database.pool.query(
      `select inbox.send(message_id => 'pending-' || n, command_type => 'Transfer', payload => '{}') from generate_series(1, 3) n`,
    );
    assert.equal(await count('Pending'), 3);
    await database.pool.query(
      `update inbox.entries set status = 'Processing', attempt = 1, claimed_at = now() where message_id = 'pending-1'`,
    );
    assert.equal(await count('Pending'), 2);
    assert.equal(await count('Processing'), 1);
    await database.pool.query(
      `update inbox.entries set status = 'Completed', processed_at = now() where message_id = 'pending-1'`,
    );
    assert.equal(await count('Processing'), 0);
    assert.equal(await count('Completed'), null);
  });

  it('inbox.oldest.age is the longest wait of each status, and 0 without a command', async () => {
    assert.equal(await age('Failed'), 0);
    assert.equal(await age('DeadLetter'), 0);
    await seedOpen(database.pool, 'old-dead', 'DeadLetter', { days: 2 });
    await seedOpen(database.pool, 'old-failed', 'Failed', { days: 1 });
    assert.ok((await age('DeadLetter')) > 86_400);
    assert.ok((await age('Failed')) > 0);
    const [{ ms }] = (await rows<{ ms: number }>(
      database.pool,
      `select (extract(epoch from now() - min(received_at)) * 1000)::float8 as ms from inbox.entries where status = 'Pending'`,
    )) as [{ ms: number }];
    assert.ok(Math.abs((await age('Pending')) - ms / 1_000) < 10);
  });

  it('inbox.dead_letters.open counts by type and failure group, until the dead letter is resolved', async () => {
    const labels = { failure_group: 'declined' };
    assert.equal(await read('inbox_dead_letters_open', labels), null);
    await seedOpen(database.pool, 'declined', 'DeadLetter', { days: 1 });
    await database.pool.query(
      `update inbox.dead_letters set failure_group = 'declined' where message_id = 'declined'`,
    );
    assert.equal(await read('inbox_dead_letters_open', labels), 1);
    await database.pool.query(
      `update inbox.dead_letters set resolution = 'discarded', resolved_at = now(), resolved_by = 'ann'
       where message_id = 'declined'`,
    );
    assert.equal(await read('inbox_dead_letters_open', labels), 0);
  });

  it('inbox.outbox.unpublished and inbox.outbox.age appear once a relay has published', async () => {
    await insertEvents(database.pool, 5);
    assert.equal(await read('inbox_outbox_unpublished'), null, 'Debezium or nothing reads the outbox');
    await database.pool.query(
      `update inbox.outbox set published_at = now() where id = (select min(id::text)::uuid from inbox.outbox)`,
    );
    assert.equal(await read('inbox_outbox_unpublished'), 4);
    assert.ok((await read('inbox_outbox_age'))! > 0);
    await database.pool.query('update inbox.outbox set published_at = now()');
    assert.equal(await read('inbox_outbox_unpublished'), 0);
    assert.equal(await read('inbox_outbox_age'), 0);
  });

  it('inbox.campaign.items counts the items of campaigns that are not over', async () => {
    assert.equal(await items('remaining'), 0);
    await database.pool.query(
      `insert into inbox.campaigns (actor, filter, canary, rate, concurrency, stop_above, total, completed, failed, skipped)
       values ('ann', '{}', 1, 10, 1, 0.5, 10, 3, 2, 1)`,
    );
    assert.deepEqual(
      await Promise.all(['completed', 'failed', 'skipped', 'remaining'].map((state) => items(state))),
      [3, 2, 1, 4],
    );
    await database.pool.query(`update inbox.campaigns set state = 'Finished', ended_at = now()`);
    assert.equal(await items('remaining'), 0);
  });

  it('inbox.old_snapshot.age is the age of the transaction that holds back vacuum', async () => {
    const client = await database.pool.connect();
    try {
      await client.query('begin isolation level repeatable read');
      await client.query('select 1');
      assert.ok((await read('inbox_old_snapshot_age'))! > 0);
    } finally {
      await client.query('rollback');
      client.release();
    }
    assert.equal(await read('inbox_old_snapshot_age'), 0);
  });

  it('is reported by one worker at a time, and by another one when that worker has stopped', async () => {
    const expected = await total();
    stops.push(observe('second'));
    assert.equal(await total(), expected);
    assert.equal(await holder(), 'first');
    await stops.shift()!();
    assert.equal(await total(), expected);
    assert.equal(await holder(), 'second');
  });

  it('is missing, rather than 0, while Postgres does not answer', async () => {
    for (const stop of stops.splice(0)) await stop();
    const target = new URL(database.url);
    const proxy = await startProxy(Number(target.port));
    target.port = String(proxy.port);
    stops.push(observe('through a proxy', target.href));
    assert.equal(typeof (await read('inbox_oldest_age', { status: 'Failed' })), 'number');
    await proxy.close();
    assert.equal(await read('inbox_oldest_age', { status: 'Failed' }), null);
    assert.equal(await read('inbox_entries'), null);
    const again = await startProxy(Number(new URL(database.url).port), proxy.port);
    assert.equal(typeof (await read('inbox_oldest_age', { status: 'Failed' })), 'number');
    await stops.pop()!();
    await again.close();
    stops.push(observe('direct'));
  });

  it('has a limited number of series with 1,000 failure groups and 500 types', async () => {
    await database.pool.query(
      `select inbox.send(message_id => 'type-' || n, command_type => 'Type' || n % 500, payload => '{}')
       from generate_series(1, 1000) n`,
    );
    await database.pool.query(
      `insert into inbox.dead_letters (message_id, generation, command_type, payload, metadata, error_type, error,
         failure_group, reason, retry_count)
       select message_id, 0, command_type, '{}', '{}', 'Broken', 'Broken', 'group-' || message_id,
         'unrecoverable', 1
       from inbox.entries where message_id like 'type-%'`,
    );
    const samples = await scrape();
    const groups = samples.filter(({ name, value }) => name === 'inbox_dead_letters_open' && value > 0);
    assert.equal(groups.length, MAX_GROUPS + 1);
    const open = await rows(database.pool, 'select from inbox.dead_letters where resolution is null');
    assert.equal(sumOf(samples, 'inbox_dead_letters_open'), open.length);
    const types = new Set(
      samples
        .filter(({ name, value }) => name === 'inbox_entries' && value > 0)
        .map(({ labels }) => labels['type']),
    );
    assert.equal(types.size, MAX_TYPES + 1);
    const ofTypes = samples.filter(({ name }) => name === 'inbox_entries');
    assert.ok(ofTypes.length <= (MAX_TYPES + 1) * 3 + MAX_GONE, `${ofTypes.length} series`);
    const pending = await rows(database.pool, `select from inbox.entries where status = 'Pending'`);
    assert.equal(sumOf(samples, 'inbox_entries', { status: 'Pending' }), pending.length);
  });
});
