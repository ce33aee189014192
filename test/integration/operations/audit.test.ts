import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sqlState } from '../../../src/platform/postgres.ts';
import { InvalidMessageError } from '../../../src/core/errors.ts';
import { auditTrail } from '../../../src/operations/index.ts';
import type { AuditFilter, AuditTrailLine } from '../../../src/operations/index.ts';
import { runCli } from '../../support/cli.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';

const numbers = (lines: { reason: string | null }[]) =>
  lines.map(({ reason }) => Number(reason!.split(' ')[1]));

describe('the audit', () => {
  let database: TestDatabase;
  let campaign: string;

  before(async () => {
    database = await createTestDatabase();
    await database.pool.query(`select inbox.send('order-' || n, 'Pay', '{}') from generate_series(1, 2) n`);
    // The trigger would add an audit line with today's date.
    await database.pool.query('alter table inbox.campaigns disable trigger campaign_is_audited');
    const { rows } = await database.pool.query<{ id: string }>(
      `with made as (
         insert into inbox.campaigns (actor, filter, canary, rate, concurrency, stop_above, total)
         values ('cleo', '{}', 0, 1, 1, 0, 1) returning id)
       insert into inbox.audit (at, action, campaign_id, actor, reason)
       select '2026-03-01 11:00Z', 'campaign-started', id, 'cleo', 'reason 0' from made returning campaign_id as id`,
    );
    campaign = rows[0]!.id;
    await database.pool.query(
      `insert into inbox.audit (at, action, message_id, actor, reason)
       select timestamptz '2026-03-01 12:00Z' + n * interval '1 hour', case when n % 3 = 0 then 'discard' else 'replay' end,
              'order-' || 1 + n % 2, case when n <= 5 then 'ada' else 'bob' end, 'reason ' || n
       from generate_series(1, 10) n order by n`,
    );
  });
  after(() => database.drop());

  const trail = async (filter: Partial<AuditFilter>) =>
    numbers(await auditTrail(database.pool, { limit: 100, ...filter }));

  it('is listed newest first, and filtered by actor, message, campaign, action and time', async () => {
    assert.deepEqual(await trail({}), [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert.deepEqual(await trail({ actor: 'ada' }), [5, 4, 3, 2, 1]);
    assert.deepEqual(await trail({ messageId: 'order-1', actor: 'bob' }), [10, 8, 6]);
    assert.deepEqual(await trail({ action: 'discard' }), [9, 6, 3]);
    const [started] = await auditTrail(database.pool, { limit: 100, campaignId: campaign });
    assert.deepEqual([started!.campaignId, started!.messageId, started!.actor], [campaign, null, 'cleo']);
    const since = new Date('2026-03-01T15:00Z');
    assert.deepEqual(await trail({ since, until: new Date('2026-03-01T17:00Z') }), [4, 3]);
    assert.deepEqual(await trail({ actor: 'nobody' }), []);
  });

  it('is paged by id, and pages stay complete when lines are added in between', async () => {
    const first = await auditTrail(database.pool, { limit: 4, until: new Date('2026-03-02') });
    await database.pool.query(
      `insert into inbox.audit (at, action, message_id, actor, reason) values ('2026-03-03', 'replay', 'order-1', 'eve', 'reason 11')`,
    );
    assert.deepEqual(await trail({ before: first.at(-1)!.id }), [6, 5, 4, 3, 2, 1, 0]);
  });

  it('refuses invalid filters', async () => {
    for (const [filter, expected] of [
      [{ limit: 0 }, /limit is below 1/],
      [{ limit: 10_001 }, /limit is above 10000/],
      [{ actor: '' }, /actor is empty/],
      [{ messageId: 'a\u0000' }, /messageId contains control characters/],
      [{ since: new Date('nonsense') }, /since must be a date/],
      [{ before: 1.5 }, /before must be a whole number/],
      [{ campaignId: '7' }, /campaignId must be a UUID/],
    ] as const) {
      await assert.rejects(trail(filter), (error) => {
        assert.ok(error instanceof InvalidMessageError);
        assert.match(error.message, expected);
        return true;
      });
    }
  });

  it('is append-only, even for the owner of the schema', async () => {
    for (const statement of [
      `update inbox.audit set actor = 'somebody else'`,
      'update inbox.audit set actor = actor where false',
      'delete from inbox.audit',
      'truncate inbox.audit',
      'truncate inbox.entries cascade',
    ]) {
      await assert.rejects(
        database.pool.query(statement),
        (error) => {
          assert.equal(sqlState(error), '23001');
          assert.match((error as Error).message, /^inbox\.audit is only ever added to: [A-Z]+ is refused$/);
          return true;
        },
        statement,
      );
    }
    assert.equal((await trail({ actor: 'ada' })).length, 5);
  });

  const audit = (...args: string[]) => runCli(['audit', ...args], { DATABASE_URL: database.url });

  describe('in the CLI', () => {
    it('is printed as a table with the option for the next page', async () => {
      const { code, stdout, stderr } = await audit('--actor', 'ada', '--limit', '2');
      assert.equal(code, 0, stderr);
      assert.match(stdout, /ID +AT +ACTOR +ACTION +MESSAGE OR CAMPAIGN +REASON/);
      assert.match(stdout, /2026-03-01T17:00:00\.000Z +ada +replay +order-2 +reason 5/);
      const [, last] = /^more: --before (\d+)\n$/.exec(stderr)!;
      const next = await audit('--actor', 'ada', '--limit', '2', '--before', last!, '--json');
      assert.deepEqual(numbers(JSON.parse(next.stdout) as AuditTrailLine[]), [3, 2]);
    });

    it('lists actions on campaigns', async () => {
      const { stdout } = await audit('--campaign', campaign);
      assert.match(stdout, new RegExp(` cleo +campaign-started +campaign ${campaign} +reason 0`));
      assert.equal(stdout.trimEnd().split('\n').length, 2);
    });

    it('accepts times and durations, and refuses other values', async () => {
      const one = await audit('--since', '2026-03-01T20:00Z', '--until', '2026-03-01T21:00Z', '--json');
      assert.deepEqual(numbers(JSON.parse(one.stdout) as AuditTrailLine[]), [8]);
      const long = await audit('--since', '100y', '--action', 'discard', '--message', 'order-2', '--json');
      assert.deepEqual(numbers(JSON.parse(long.stdout) as AuditTrailLine[]), [9, 3]);
      for (const args of [
        ['--since', 'yesterday'],
        ['--limit', '0'],
        ['--before', 'x'],
      ]) {
        assert.equal((await audit(...args)).code, 2, args.join(' '));
      }
      const refused = await audit('--limit', '10001');
      assert.deepEqual([refused.code, refused.stdout], [2, '']);
      assert.match(refused.stderr, /whole number from 1 to 10000/);
    });

    it('uses INBOX_ACTOR as the default actor', async () => {
      const env = { DATABASE_URL: database.url, INBOX_ACTOR: 'grace@example.com' };
      assert.match((await runCli(['replay', '--help'], env)).stdout, /grace@example\.com/);
      assert.doesNotMatch((await runCli(['replay', '--help'], { ...env, INBOX_ACTOR: ' ' })).stdout, /grace/);
    });
  });
});
