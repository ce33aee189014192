import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import type { CampaignStory } from '../../../src/operations/index.ts';
import { behaviors, DeadSet, mend } from '../../support/campaign.ts';
import { createCli, startCli } from '../../support/cli.ts';
import type { Cli } from '../../support/cli.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually, gate } from '../../support/wait.ts';

const NO_TEMPORAL = { TEMPORAL_ADDRESS: '127.0.0.1:1' };
const broken = () => {
  throw new UnrecoverableError('StillBroken');
};

const replayOf = (set: DeadSet, ...more: string[]) => ['replay', '--group', set.group, ...more];

interface Listed {
  id: string;
  state: string;
  total: number;
  completed: number;
}

describe('campaigns in the CLI', () => {
  let inbox: TestInbox;
  let cli: Cli;

  before(async () => {
    inbox = await createTestInbox();
    cli = createCli(inbox);
    await inbox.pool.query('create table effects (message_id text)');
    await inbox.startWorker([mend]);
  });
  after(() => inbox.close());

  const setOf = (name: string, size: number) => new DeadSet(inbox, name, size).seed();
  const newest = async () => (await cli.json<Listed[]>('campaigns'))[0]!;

  it('show a preview, and replay nothing without a terminal or --yes', async () => {
    const set = await setOf('unconfirmed', 3);
    const { code, stdout, stderr } = await cli.run(replayOf(set));
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /3 open dead letters[\s\S]*unconfirmed.* Mend +3[\s\S]*Broken: seeded[\s\S]*--yes/);
    assert.equal((await set.untouched()).length, 3);
    assert.deepEqual(await cli.json('campaigns'), []);
  });

  it('replay all matching dead letters, and follow until the end', async () => {
    const set = await setOf('followed', 12);
    const { code, stdout, stderr } = await cli.run(
      replayOf(set, '--canary', '2', '--rate', '500', '--actor', 'ada', '--reason', 'fixed', '--yes'),
    );
    assert.equal(code, 0, stderr);
    assert.equal(stdout, 'Finished: 12 of 12 settled: 12 completed, 0 failed\n');
    const campaign = await newest();
    assert.deepEqual([campaign.state, campaign.total, campaign.completed], ['Finished', 12, 12]);
    const replays = await set.replays();
    assert.ok(replays.every(({ actor, campaign: id }) => actor === 'ada' && id === campaign.id));
  });

  it('report an automatic pause with counts, an example and the next commands, and can be resumed', async () => {
    const set = await setOf('stopped', 20);
    behaviors.set(set.group, broken);
    const { code, stdout, stderr } = await cli.run(replayOf(set, '--canary', '3', '--yes'));
    assert.deepEqual([code, stdout], [1, 'Paused: 3 of 20 settled: 0 completed, 3 failed\n']);
    const { id } = await newest();
    assert.match(stderr, /canary: 3 of 3 failed \(100 %\).*for example stopped-/);
    assert.match(stderr, new RegExp(`inbox campaigns resume ${id}.*inbox campaigns abort ${id}`));

    const shown = await cli.run(['campaigns', 'show', id], NO_TEMPORAL);
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, /state +Paused/);
    assert.match(shown.stdout, /Latest failures\n.*\n stopped-.*Mend\/StillBroken\/.*StillBroken/);
    assert.match(shown.stdout, /campaign-paused +inbox/);

    behaviors.delete(set.group);
    const resumed = await cli.run(['campaigns', 'resume', id, '--actor', 'bob', '--reason', 'fixed now']);
    assert.deepEqual(resumed, { code: 0, stdout: `${id} resumed\n`, stderr: '' });
    const followed = await cli.run(['campaigns', 'follow', id]);
    assert.match(followed.stdout, /^Finished: 20 of 20 settled: 17 completed, 3 failed\n$/);
    const { audit } = await cli.json<CampaignStory>('campaigns', 'show', id);
    assert.deepEqual(audit.map(({ action, actor }) => `${action} ${actor}`).slice(1), [
      'campaign-paused inbox',
      'campaign-resumed bob',
      'campaign-finished inbox',
    ]);
    await cli.fails(['campaigns', 'abort', id], /is Finished; nothing was changed/);
  });

  it('continue after Ctrl-C, and can then be paused and aborted', async () => {
    const set = await setOf('left', 8);
    const door = gate();
    behaviors.set(set.group, () => door.opened);
    const command = startCli(replayOf(set, '--canary', '1', '--yes'), {
      DATABASE_URL: inbox.database.url,
      INBOX_TASK_QUEUE: inbox.taskQueue,
    });
    await command.says(/1 in progress/);
    command.kill('SIGINT');
    const { code, stderr } = await command.result;
    const { id, state } = await newest();
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`campaign ${id} is still running; .inbox campaigns follow ${id}`));
    assert.equal(state, 'Running');
    assert.equal((await cli.run(['campaigns', 'pause', id])).stdout, `${id} paused\n`);
    assert.equal((await cli.run(['campaigns', 'abort', id, '--reason', 'enough'])).stdout, `${id} aborted\n`);
    door.open();
    await cli.fails(['campaigns', 'pause', id], /is Aborted; nothing was changed/);
    assert.equal((await set.untouched()).length, 7);
  });

  it('start without being followed with --no-follow', async () => {
    const set = await setOf('alone', 3);
    const { code, stdout } = await cli.run(replayOf(set, '--yes', '--no-follow'));
    assert.equal(code, 0);
    assert.equal(stdout, `${(await newest()).id}\n`);
    await eventually('the campaign has finished', async () => (await newest()).state === 'Finished');
  });

  it('are listed without Temporal, and an unknown id is an error that names it', async () => {
    const { code, stdout } = await cli.run(['campaigns', 'list'], NO_TEMPORAL);
    assert.equal(code, 0);
    assert.match(stdout, /^ ?ID +STARTED +BY +STATE/);
    await cli.fails(['campaigns', 'show', 'x'], /no campaign has the id "x"/, NO_TEMPORAL);
    await cli.fails(['campaigns', 'pause', 'x'], /no campaign has the id "x"/);
  });

  it('require either message ids or a filter, and valid numbers', async () => {
    const { group, ids } = await setOf('usage', 1);
    for (const args of [
      ['replay'],
      ['discard'],
      ['replay', ids[0]!, '--group', group],
      ['replay', '--group', group, '--payload', '{}'],
      ['replay', '--group', group, '--rate', 'fast'],
    ]) {
      assert.equal((await cli.run(args)).code, 2, args.join(' '));
    }
    assert.equal((await cli.run(['replay', '--group', group, '--rate', '0', '--yes'])).code, 2);
    assert.equal((await cli.run(['replay', '--group', 'nobody', '--yes'])).code, 0);
  });

  it('replay several messages by id, and continue after one that fails', async () => {
    const { ids } = await setOf('several', 2);
    const { code, stdout, stderr } = await cli.run(['replay', ids[0]!, 'nobody', ids[1]!]);
    assert.equal(code, 1);
    assert.equal(stdout, `${ids[0]} replayed\n${ids[1]} replayed\n`);
    assert.match(stderr, /no entry has the message_id "nobody"[\s\S]*1 of 3 were not replayed/);
  });

  it('discard all matching dead letters through their workflows, with actor and reason', async () => {
    const set = await setOf('discarded', 45);
    assert.equal((await cli.run(['discard', '--group', set.group])).code, 2);
    assert.equal((await set.untouched()).length, 45);
    const { code, stdout, stderr } = await cli.run([
      'discard',
      '--group',
      set.group,
      '--yes',
      '--actor',
      'ada',
      '--reason',
      'sent twice',
    ]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout, '45 discarded, 0 resolved by someone else\n');
    const audited = await inbox.pool.query(
      `select from inbox.audit where action = 'discard' and actor = 'ada' and reason = 'sent twice'
       and message_id = any ($1)`,
      [set.ids],
    );
    assert.equal(audited.rowCount, 45);
    const first = inbox.client.workflow.getHandle(set.ids[0]!);
    await assert.rejects(first.result(), /Workflow execution failed/);
  });

  it('say how many are left when no worker processes a discard', async () => {
    const set = await setOf('nobody-there', 25);
    const { code, stderr } = await cli.run(['discard', '--group', set.group, '--yes'], {
      INBOX_TASK_QUEUE: `${inbox.taskQueue}-empty`,
    });
    assert.equal(code, 1);
    assert.match(stderr, /20 requests were sent to Temporal, but no worker .* 5 more were not sent/);
    await Promise.all(
      set.ids.slice(0, 20).map((id) => inbox.client.workflow.getHandle(id).terminate('the test is over')),
    );
  });
});
