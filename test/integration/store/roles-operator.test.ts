import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Pool } from 'pg';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { isPermissionDenied } from '../../../src/platform/postgres.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import {
  abortCampaign,
  auditTrail,
  deadLetters,
  deadLettersOf,
  discard,
  discardAll,
  dryRun,
  failureGroups,
  followCampaign,
  list,
  listCampaigns,
  pauseCampaign,
  previewReplay,
  restore,
  resumeCampaign,
  show,
  startCampaign,
  stats,
} from '../../../src/operations/index.ts';
import type { Finding } from '../../../src/health/finding.ts';
import type { Operator } from '../../../src/operations/index.ts';
import { prune } from '../../../src/retention/retention.ts';
import { createCli } from '../../support/cli.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { createLogin } from '../../support/login.ts';
import type { TestLogin } from '../../support/login.ts';
import { eventually } from '../../support/wait.ts';

let fixed = false;

const pay = defineCommand({
  type: 'Pay',
  schema: z.object({ account: z.string() }),
  async handle({ payload: { account }, tx, messageId, generation }) {
    await tx.query('insert into public.effects (message_id) values ($1)', [messageId]);
    if (!fixed && generation === 0) throw new UnrecoverableError('AccountClosed', { account });
    return { generation };
  },
});

const results = (findings: Finding[]) => findings.map(({ name, ok }) => `${name}: ${ok}`);
/** How doctor reports a missing right. */
const isRefused = ({ finding }: Finding) => finding.includes('permission denied');

describe('people with logins in inbox_operator or inbox_reader, and a worker in inbox_worker', () => {
  let fixture: TestInbox;
  let worker: TestLogin;
  let operator: TestLogin;
  let reader: TestLogin;
  let operate: Operator;
  const alerted: string[] = [];

  before(async () => {
    fixture = await createTestInbox();
    worker = await createLogin(fixture.database, 'inbox_worker');
    operator = await createLogin(fixture.database, 'inbox_operator');
    reader = await createLogin(fixture.database, 'inbox_reader');
    await fixture.pool.query(
      `create table public.effects (message_id text); grant insert on public.effects to ${worker.name}`,
    );
    await fixture.startWorker([pay], {}, worker.url, ({ messageIds }) => void alerted.push(...messageIds));
    operate = { pool: operator.pool, client: fixture.client, taskQueue: fixture.taskQueue };
  });
  after(async () => {
    for (const login of [worker, operator, reader]) await login?.drop();
    await fixture.close();
  });

  /** Creates this many dead letters with this correlation_id. */
  async function die(flow: string, count: number): Promise<string[]> {
    const ids = Array.from({ length: count }, (_, index) => fixture.id(`${flow}-${index}`));
    await fixture.pool.query(
      `select inbox.send(id, 'Pay', '{"account": "a"}', correlation_id => $2) from unnest($1::text[]) as id`,
      [ids, flow],
    );
    for (const id of ids) await fixture.reaches(id, 'DeadLetter');
    return ids;
  }

  it('are alerted about dead letters', async () => {
    const [messageId] = await die('alerted', 1);
    await eventually('the hook receives the alert', () => alerted.includes(messageId!));
    await eventually('the alert has ended', async () => {
      const open = await rows(
        reader.pool,
        'select id from inbox.alerts where $1 = any (message_ids) and ended_at is null',
        [messageId],
      );
      return open.length === 0;
    });
  });

  it('start, pause and resume a campaign', async () => {
    const ids = await die('campaign', 3);
    const campaign = await startCampaign(operate, {
      filter: { correlationId: 'campaign' },
      canary: 0,
      rate: 1,
      actor: 'ada',
    });
    await pauseCampaign(operate, campaign.id, { actor: 'ada', reason: 'lunch' });
    await resumeCampaign(operate, campaign.id, { actor: 'bob' });
    const snapshot = await followCampaign(operator.pool, campaign.id, { intervalMs: 25 });
    assert.deepEqual([snapshot.state, snapshot.completed], ['Finished', 3]);
    for (const id of ids) await fixture.reaches(id, 'Completed');

    for (const { pool } of [operator, reader]) {
      const lines = await auditTrail(pool, { campaignId: campaign.id, limit: 10 });
      assert.deepEqual(
        lines.map(({ action, actor, reason }) => [action, actor, reason]),
        [
          ['campaign-finished', 'inbox', null],
          ['campaign-resumed', 'bob', null],
          ['campaign-paused', 'ada', 'lunch'],
          ['campaign-started', 'ada', null],
        ],
      );
    }
  });

  it('abort a campaign', async () => {
    await die('aborted', 2);
    const request = { filter: { correlationId: 'aborted' }, canary: 0, rate: 0.001 };
    const campaign = await startCampaign(operate, request);
    await abortCampaign(operate, campaign.id, { actor: 'ada' });
    assert.equal((await followCampaign(operator.pool, campaign.id, { intervalMs: 25 })).state, 'Aborted');
  });

  it('discard and restore one dead letter, then discard many', async () => {
    const [one] = await die('discarded', 3);
    assert.equal(await discard(operate, one!, { actor: 'ada' }), 'done');
    assert.equal(await restore({ ...operate, searchAttributes: true }, one!, { actor: 'ada' }), 'done');
    const done = await discardAll(operate, { correlationId: 'discarded' }, { actor: 'ada' });
    assert.deepEqual([done.discarded, done.pending, done.left], [3, 0, 0]);
    const lines = await auditTrail(reader.pool, { messageId: one!, limit: 10 });
    assert.deepEqual(
      lines.map(({ action }) => action),
      ['discard', 'restore', 'discard'],
    );
  });

  it('dry-run a fix as a login in inbox_worker and inbox_operator', async () => {
    const messageIds = await die('tried', 1);
    const both = await createLogin(fixture.database, 'inbox_operator');
    await fixture.pool.query(
      `grant inbox_worker to ${both.name}; grant insert on public.effects to ${both.name}`,
    );
    fixed = true;
    const [result] = await dryRun({ databaseUrl: both.url, commands: [pay], messageIds });
    fixed = false;
    assert.equal(result!.outcome, 'completes');
    await both.drop();
  });

  it('see what their role allows', async () => {
    const [id] = await die('shown', 1);
    const forBoth = [
      (pool: Pool) => stats(pool),
      (pool: Pool) => stats(pool, { exact: true }),
      (pool: Pool) => auditTrail(pool, { limit: 10 }),
      (pool: Pool) => listCampaigns(pool),
    ];
    const forOperators = [
      (pool: Pool) => list(pool, { limit: 10 }),
      (pool: Pool) => show(pool, id!),
      (pool: Pool) => deadLetters(pool),
      (pool: Pool) => deadLettersOf(pool, id!),
      (pool: Pool) => failureGroups(pool),
      (pool: Pool) => previewReplay(pool, {}),
    ];
    for (const query of [...forBoth, ...forOperators]) await query(operator.pool);
    for (const query of forBoth) await query(reader.pool);
    for (const query of forOperators) {
      await assert.rejects(query(reader.pool), isPermissionDenied, String(query));
    }
  });

  it('learn on the command line which role they need', () =>
    createCli(fixture).fails(['list'], /permission denied for table entries; .*grant inbox_operator to/, {
      DATABASE_URL: reader.url,
    }));

  const doctor = async (url: string) => {
    const { stdout } = await createCli(fixture).run(['doctor', '--json'], { DATABASE_URL: url });
    return JSON.parse(stdout) as Finding[];
  };

  it('run doctor as an operator with the same results as the owner of the schema', async () => {
    // Repeated, because a check may time out on a slow machine, and entries change in between.
    const found = await eventually('both get the same results', async () => {
      const findings = await doctor(operator.url);
      assert.deepEqual(results(findings), results(await doctor(fixture.database.url)));
      return findings;
    });
    assert.deepEqual(found.filter(isRefused), []);
    // A reader lacks rights.
    await eventually('doctor reports it', async () => (await doctor(reader.url)).some(isRefused));
  });

  /** Counts what is due for pruning. */
  const countDue = async () => {
    const [found] = await rows<{ entries: number; letters: number }>(
      fixture.pool,
      `select (select count(*) from inbox.entries where status = 'Completed' and pruned_at is null)::integer as entries,
              (select count(*) from inbox.dead_letters
               where resolution is not null and pruned_at is null)::integer as letters`,
    );
    return found!;
  };

  it('prune, which a worker cannot do', async () => {
    const ages = { completedOlderThanMs: 0, outboxOlderThanMs: 0, deadLettersOlderThanMs: 0 };
    const [discarded] = await die('prunable', 1);
    assert.equal(await discard(operate, discarded!, { actor: 'ada' }), 'done');
    fixed = true;
    const completed = fixture.id('prunable');
    await fixture.pool.query(`select inbox.send($1, 'Pay', '{"account": "a"}')`, [completed]);
    await fixture.reaches(completed, 'Completed');
    fixed = false;
    const due = await countDue();
    assert.ok(due.entries > 0 && due.letters > 0, JSON.stringify(due));
    await assert.rejects(prune(worker.pool, ages), isPermissionDenied);
    const untouched = await countDue();
    assert.ok(
      untouched.entries >= due.entries && untouched.letters >= due.letters,
      JSON.stringify(untouched),
    );
    // One run leaves out rows that another transaction has locked.
    await eventually('everything is pruned', async () => {
      await prune(operator.pool, ages);
      const { entries, letters } = await countDue();
      return entries + letters === 0;
    });
  });
});
