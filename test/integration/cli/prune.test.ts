import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { runCli } from '../../support/cli.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { rows } from '../../support/inbox.ts';
import { resolveLetter, seedCompleted, seedEvent, seedOpen } from '../../support/seed.ts';

describe('inbox prune', () => {
  let database: TestDatabase;

  before(async () => {
    database = await createTestDatabase();
    await seedCompleted(database.pool, 'thirty-one', { days: 31 });
    await seedCompleted(database.pool, 'twenty-nine', { days: 29 });
    await seedOpen(database.pool, 'discarded', 'DeadLetter', { days: 200 });
    await resolveLetter(database.pool, 'discarded', 'discarded', 91);
    await seedEvent(database.pool, 'Old', { days: 8, publishedDays: 8 });
  });
  after(() => database.drop());

  const inbox = (...args: string[]) => runCli(args, { DATABASE_URL: database.url });
  const all = ['--outbox-older-than', '7d', '--dead-letters-older-than', '90d'];

  it('counts with --dry-run, prunes, and then has nothing left to do', async () => {
    const dry = await inbox('prune', '--older-than', '30d', ...all, '--dry-run');
    assert.equal(dry.code, 0, dry.stderr);
    assert.match(dry.stdout, /entries\s+1 would be emptied/);
    assert.match(dry.stdout, /dead letters\s+1 would be deleted or emptied/);
    assert.match(dry.stdout, /outbox\s+1 would be deleted/);
    assert.equal((await rows(database.pool, 'select from inbox.outbox')).length, 1);

    const json = await inbox('prune', '--older-than', '30d', ...all, '--batch', '1', '--json');
    const counts = { entries: 1, deadLetters: 1, alerts: 0, outbox: 1 };
    assert.deepEqual(JSON.parse(json.stdout), { ...counts, dryRun: false, interrupted: false });
    assert.equal(json.stderr, '');

    const again = await inbox('prune', '--older-than', '30d');
    assert.equal(again.code, 0);
    assert.match(again.stdout, /^entries\s+0 emptied\n$/);
  });

  it('is shown by `inbox show` with its time and what was deleted', async () => {
    const { stdout } = await inbox('show', 'thirty-one');
    assert.match(stdout, /pruned\s+\d{4}-\d\d-\d\dT.*payload, metadata, result/);
    assert.doesNotMatch(stdout, /canary|^payload|^result/m);
    const story = JSON.parse((await inbox('show', 'thirty-one', '--json')).stdout) as {
      entry: { payload: unknown; prunedAt: string };
    };
    assert.equal(story.entry.payload, null);
    assert.ok(story.entry.prunedAt);
  });

  it('refuses a missing age, and an age without a unit', async () => {
    for (const args of [
      ['--older-than', '30'],
      ['--older-than', '-1d'],
      ['--older-than', 'soon'],
      ['--older-than', '30d', '--outbox-older-than', '7'],
      ['--older-than', '30d', '--batch', '0'],
      [],
    ]) {
      const { code, stderr } = await inbox('prune', ...args);
      assert.equal(code, 2, args.join(' '));
      assert.match(stderr, /--older-than|--outbox-older-than|--batch/);
    }
    const [kept] = await rows<{ pruned_at: Date | null }>(
      database.pool,
      `select pruned_at from inbox.entries where message_id = 'twenty-nine'`,
    );
    assert.equal(kept!.pruned_at, null);
  });

  const run = (retention: string) =>
    runCli(['prune', '--dry-run'], { DATABASE_URL: database.url, INBOX_RETENTION: retention });

  it('takes the age from INBOX_RETENTION, and refuses an invalid one', async () => {
    assert.match((await run('30d')).stdout, /^entries\s+0 would be emptied\n$/);
    const wrong = await run('30');
    assert.deepEqual([wrong.code, wrong.stdout], [1, '']);
    assert.match(wrong.stderr, /INBOX_RETENTION \("30"\) is not a duration/);
    const none = await run(' ');
    assert.equal(none.code, 2);
    assert.match(
      none.stderr,
      /has no default age: .*`inbox prune --older-than 30d`.*INBOX_RETENTION=30d.*--dry-run/,
    );
  });

  it('says what to do when there is no schema', async () => {
    const empty = await createTestDatabase('empty');
    const { code, stderr } = await runCli(['prune', '--older-than', '30d'], { DATABASE_URL: empty.url });
    await empty.drop();
    assert.equal(code, 1);
    assert.match(stderr, /inbox migrate/);
  });
});
