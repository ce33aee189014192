import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { prune } from '../../src/retention/retention.ts';
import { startCli } from '../support/cli.ts';
import type { CliProcess } from '../support/cli.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { rows } from '../support/inbox.ts';
import { seedMany, seedOpen } from '../support/seed.ts';
import { eventually } from '../support/wait.ts';

const ENTRIES = 4_000;
const DAY = 86_400_000;

describe('a prune that is killed', () => {
  let database: TestDatabase;
  const started: CliProcess[] = [];

  before(async () => {
    database = await createTestDatabase();
    const ids = Array.from({ length: ENTRIES }, (_, index) => `killed-${index}`);
    await seedMany(database.pool, ids.slice(0, ENTRIES / 2), { days: 60 });
    await seedOpen(database.pool, 'open', 'DeadLetter', { days: 50 });
    await seedMany(database.pool, ids.slice(ENTRIES / 2), { days: 40 });
  });
  after(async () => {
    for (const run of started) run.kill('SIGKILL');
    await Promise.all(started.map(({ result }) => result));
    await database.drop();
  });

  const pruned = async () => {
    const [found] = await rows<{ count: number }>(
      database.pool,
      'select count(*)::integer from inbox.entries where pruned_at is not null',
    );
    return found!.count;
  };

  /** Starts a prune, and sends it the signal once it has pruned some entries. */
  async function interrupt(signal: NodeJS.Signals) {
    const already = await pruned();
    const run = startCli(['prune', '--older-than', '30d', '--batch', '3'], { DATABASE_URL: database.url });
    started.push(run);
    await eventually('the prune is in progress', async () => (await pruned()) > already + 100);
    run.kill(signal);
    assert.ok((await pruned()) < ENTRIES, 'the prune was interrupted before it finished');
    return run.result;
  }

  /** Every entry up to `settled_to` is pruned or noted for the next run, and no entry is only half pruned. */
  async function assertConsistent() {
    const wrong = await rows(
      database.pool,
      `select e.message_id from inbox.entries e, inbox.retention r
       where e.id <= r.settled_to and e.pruned_at is null
         and not exists (select from inbox.retention_left l where l.entry_id = e.id)
       union all
       select e.message_id from inbox.entries e join inbox.failures f using (message_id)
       where e.pruned_at is not null and f.stack is not null`,
    );
    assert.deepEqual(wrong, []);
  }

  it('leaves the database consistent, so that the next run can continue', async () => {
    for (let times = 0; times < 3; times += 1) {
      assert.equal((await interrupt('SIGKILL')).code, 'SIGKILL');
      await assertConsistent();
    }
    const stopped = await interrupt('SIGTERM');
    assert.equal(stopped.code, 1);
    assert.match(stopped.stdout, /entries\s+\d+ emptied/);
    assert.match(stopped.stderr, /stopped by SIGTERM/);
    await assertConsistent();

    const already = await pruned();
    const { entries } = await prune(database.pool, { completedOlderThanMs: 30 * DAY });
    assert.equal(entries, ENTRIES - already);
    assert.equal(await pruned(), ENTRIES);
    await assertConsistent();
    const [open] = await rows<{ payload: object }>(
      database.pool,
      `select payload from inbox.entries where message_id = 'open'`,
    );
    assert.deepEqual(open!.payload, { secret: 'canary' });
  });
});
