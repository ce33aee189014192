import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import {
  abortCampaign,
  campaignProgress,
  discard,
  pauseCampaign,
  previewReplay,
  resumeCampaign,
  showCampaign,
} from '../../../src/operations/index.ts';
import { createLog } from '../../../src/platform/log.ts';
import { campaignWorkflowId } from '../../../src/core/protocol.ts';
import { Reconciler } from '../../../src/dispatch/reconciler.ts';
import { pace } from '../../../src/core/campaign.ts';
import { behaviors, DeadSet, mend } from '../../support/campaign.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually, gate } from '../../support/wait.ts';

const broken = () => {
  throw new UnrecoverableError('StillBroken');
};

describe('a campaign', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.pool.query('create table effects (message_id text)');
    await inbox.startWorker([mend]);
  });
  after(() => inbox.close());

  const setOf = (name: string, size: number) => new DeadSet(inbox, name, size).seed();

  it('replays each dead letter of its set once, and records the actor and the reason', async () => {
    const set = await setOf('all', 12);
    const campaign = await set.replay();
    const snapshot = await set.follow(campaign);
    assert.equal(snapshot.state, 'Finished');
    assert.deepEqual(
      [snapshot.completed, snapshot.failed, snapshot.skipped, snapshot.inFlight],
      [12, 0, 0, 0],
    );
    assert.deepEqual(await set.effects(), Array(12).fill(1));
    const replays = await set.replays();
    assert.equal(replays.length, 12);
    assert.ok(replays.every(({ actor, campaign: id }) => actor === 'ada' && id === campaign.id));
    const { audit, campaign: ended } = await showCampaign(inbox.pool, campaign.id);
    assert.deepEqual(
      audit.map(({ action, actor, reason }) => [action, actor, reason]),
      [
        ['campaign-started', 'ada', 'mended'],
        ['campaign-finished', 'inbox', null],
      ],
    );
    assert.ok(ended.endedAt);
    const items = await set.items(campaign);
    assert.deepEqual(
      items.map(({ messageId, outcome }) => [messageId, outcome]),
      set.ids.map((id) => [id, 'completed']),
      'in the order in which they became dead letters',
    );
  });

  it('pauses when the canary fails, and continues with a new canary after the next fix', async () => {
    const set = await setOf('canary', 40);
    behaviors.set(set.group, broken);
    const campaign = await set.replay({ canary: 5 });
    const stopped = await set.follow(campaign);
    assert.equal(stopped.state, 'Paused');
    assert.deepEqual([stopped.failed, stopped.inFlight], [5, 0]);
    assert.match(
      stopped.stateReason!,
      /^canary: 5 of 5 failed \(100 %\), above the limit of 10 %; for example canary-\d-.* \(Mend\/StillBroken\/[0-9a-f]{8}\)$/,
    );
    assert.equal((await set.replays()).length, 5);
    assert.equal((await set.untouched()).length, 35);

    await resumeCampaign(inbox, campaign.id, { actor: 'bob' });
    const again = await eventually('the second canary pauses it', async () => {
      const snapshot = await campaignProgress(inbox.pool, campaign.id);
      return snapshot.state === 'Paused' && snapshot.failed === 10 ? snapshot : null;
    });
    assert.match(again.stateReason!, /^canary: 5 of 5 failed/);

    behaviors.delete(set.group);
    await resumeCampaign(inbox, campaign.id, { actor: 'bob', reason: 'really fixed' });
    const snapshot = await set.follow(campaign);
    assert.equal(snapshot.state, 'Finished');
    assert.deepEqual([snapshot.completed, snapshot.failed], [30, 10]);
    const { audit, failures } = await showCampaign(inbox.pool, campaign.id);
    assert.deepEqual(
      audit.map(({ action, actor }) => `${action} ${actor}`),
      [
        'campaign-started ada',
        'campaign-paused inbox',
        'campaign-resumed bob',
        'campaign-paused inbox',
        'campaign-resumed bob',
        'campaign-finished inbox',
      ],
    );
    assert.equal(failures.length, 10);
    assert.match(failures[0]!.failureGroup, /^Mend\/StillBroken\//);
  });

  it('pauses in the middle when too many fail', async () => {
    const set = await setOf('middle', 60);
    let calls = 0;
    behaviors.set(set.group, () => {
      calls += 1;
      if (calls > 20) broken();
    });
    const campaign = await set.replay({ canary: 3, concurrency: 2, stopAbove: 0.2 });
    const snapshot = await set.follow(campaign);
    assert.equal(snapshot.state, 'Paused');
    assert.ok(snapshot.judged.failed > 0.2 * snapshot.judged.settled);
    // After 20 successes, the sixth failure exceeds the share of 0.2. Two more were already running.
    assert.ok(snapshot.failed <= 8, `${snapshot.failed}`);
    assert.ok((await set.untouched()).length >= 30);
    assert.match(snapshot.stateReason!, /^\d+ of \d+ failed/);
    await abortCampaign(inbox, campaign.id);
  });

  it('stays within its rate', async () => {
    const set = await setOf('rate', 30);
    const rate = 15;
    const campaign = await set.replay({ canary: 0, rate, concurrency: 100 });
    await set.follow(campaign);
    const times = (await set.items(campaign)).map(({ askedAt }) => askedAt!.getTime());
    const { count } = pace(rate);
    for (const from of times) {
      const within = times.filter((time) => time >= from && time < from + 1_000).length;
      assert.ok(within <= rate + count, `${within} in a second`);
    }
    assert.equal(times.length, 30);
  });

  it('stays within its concurrency, and can be paused, resumed and aborted', async () => {
    const set = await setOf('hold', 30);
    const door = gate();
    let inside = 0;
    let most = 0;
    behaviors.set(set.group, async () => {
      inside += 1;
      most = Math.max(most, inside);
      await door.opened;
      inside -= 1;
    });
    const campaign = await set.replay({ canary: 0, concurrency: 4 });
    await eventually('four replays are running', () => inside === 4);
    assert.equal(
      await pauseCampaign(inbox, campaign.id, { actor: 'bob', reason: 'the bank is closed' }),
      'done',
    );
    assert.equal((await campaignProgress(inbox.pool, campaign.id)).stateReason, 'the bank is closed');
    door.open();
    const paused = await eventually('the running replays are settled', async () => {
      const snapshot = await campaignProgress(inbox.pool, campaign.id);
      return snapshot.inFlight === 0 ? snapshot : null;
    });
    assert.equal(paused.completed, 4);
    await assert.rejects(pauseCampaign(inbox, campaign.id), /is Paused; nothing was changed/);

    const second = gate();
    behaviors.set(set.group, () => second.opened);
    assert.equal(await resumeCampaign(inbox, campaign.id), 'done');
    await eventually(
      'four more replays are running',
      async () => (await campaignProgress(inbox.pool, campaign.id)).inFlight === 4,
    );
    assert.equal(await abortCampaign(inbox, campaign.id, { actor: 'eve', reason: 'enough' }), 'done');
    second.open();
    const handle = inbox.client.workflow.getHandle(campaignWorkflowId(campaign.id));
    const ended = (await handle.result()) as { state: string; completed: number };
    assert.deepEqual([ended.state, ended.completed], ['Aborted', 8]);
    assert.equal((await set.untouched()).length, 22);
    assert.ok(most <= 4, `${most}`);
    await assert.rejects(resumeCampaign(inbox, campaign.id), /is Aborted; nothing was changed/);
    behaviors.delete(set.group);
  });

  it('has a fixed set: later dead letters are not part of it, and those resolved meanwhile are skipped', async () => {
    const set = await setOf('frozen', 10);
    const door = gate();
    behaviors.set(set.group, () => door.opened);
    const campaign = await set.replay({ canary: 1 });
    await eventually(
      'the canary is running',
      async () => (await campaignProgress(inbox.pool, campaign.id)).inFlight === 1,
    );
    const later = await new DeadSet(inbox, 'frozen-later', 3).seed();
    await inbox.pool.query('update inbox.dead_letters set failure_group = $1 where message_id = any ($2)', [
      set.group,
      later.ids,
    ]);
    await discard(inbox, set.ids[4]!, { actor: 'bob' });
    door.open();
    const snapshot = await set.follow(campaign);
    assert.deepEqual(
      [snapshot.state, snapshot.total, snapshot.completed, snapshot.skipped],
      ['Finished', 10, 9, 1],
    );
    assert.equal((await set.items(campaign))[4]!.outcome, 'skipped');
    assert.equal((await later.untouched()).length, 3);
    assert.equal((await previewReplay(inbox.pool, { failureGroup: set.group })).total, 3);
  });

  it('replays each dead letter once when two campaigns have the same set', async () => {
    const set = await setOf('twice', 40);
    const [one, other] = await Promise.all([
      set.replay({ actor: 'ada' }),
      set.replay({ actor: 'bob', concurrency: 7 }),
    ]);
    const snapshots = await Promise.all([set.follow(one), set.follow(other)]);
    assert.deepEqual(
      snapshots.map(({ state }) => state),
      ['Finished', 'Finished'],
    );
    assert.equal(snapshots[0].completed + snapshots[1].completed, 40);
    assert.equal(snapshots[0].skipped + snapshots[1].skipped, 40);
    assert.deepEqual(await set.effects(), Array(40).fill(1));
    assert.equal((await set.replays()).length, 40);
  });

  it('waits for replays that are retried, and counts each once', async () => {
    const set = await setOf('transient', 6);
    const failed = new Set<string>();
    behaviors.set(set.group, (messageId) => {
      if (failed.has(messageId)) return;
      failed.add(messageId);
      throw new Error('not yet');
    });
    const campaign = await set.replay();
    const snapshot = await set.follow(campaign);
    assert.deepEqual([snapshot.state, snapshot.completed, snapshot.failed], ['Finished', 6, 0]);
    assert.equal(failed.size, 6);
  });

  it('survives invalid signals from any Temporal client, and answers its query', async () => {
    const set = await setOf('signals', 20);
    const door = gate();
    behaviors.set(set.group, () => door.opened);
    const campaign = await set.replay({ canary: 2 });
    const handle = inbox.client.workflow.getHandle(campaignWorkflowId(campaign.id));
    await handle.signal('pause', { actor: 42 } as never);
    await handle.signal('abort', 'now!' as never);
    await handle.signal('pause');
    const paused = await set.follow(campaign);
    assert.equal(paused.state, 'Paused');
    const progress = await eventually('the workflow reports the pause', async () => {
      const snapshot = await handle.query<{ state: string; total: number } | null>('progress');
      return snapshot?.state === 'Paused' ? snapshot : null;
    });
    assert.equal(progress.total, 20);
    const { audit } = await showCampaign(inbox.pool, campaign.id);
    assert.deepEqual(
      audit.map(({ action, actor }) => `${action} ${actor}`),
      ['campaign-started ada', 'campaign-paused temporal-signal'],
    );
    await handle.signal('abort', { actor: 'eve' });
    door.open();
    await handle.result();
  });

  it('continues when it is resumed after its workflow was terminated', async () => {
    const set = await setOf('terminated', 15);
    const door = gate();
    behaviors.set(set.group, () => door.opened);
    const campaign = await set.replay({ concurrency: 3 });
    await eventually(
      'three replays are running',
      async () => (await campaignProgress(inbox.pool, campaign.id)).inFlight === 3,
    );
    await inbox.client.workflow.getHandle(campaignWorkflowId(campaign.id)).terminate('an operator');
    door.open();
    assert.equal(await resumeCampaign(inbox, campaign.id), 'done');
    const snapshot = await set.follow(campaign);
    assert.deepEqual([snapshot.state, snapshot.completed], ['Finished', 15]);
    assert.equal((await set.replays()).length, 15);
  });

  it('is restarted by the reconciler after its workflow was terminated', async () => {
    const set = await setOf('left', 15);
    const door = gate();
    behaviors.set(set.group, () => door.opened);
    const campaign = await set.replay({ concurrency: 3 });
    const handle = inbox.client.workflow.getHandle(campaignWorkflowId(campaign.id));
    const { runId } = await handle.describe();
    await handle.terminate('an operator');
    door.open();
    const { client, taskQueue, typedWorkflows, pool } = inbox;
    const settings = { intervalMs: 50, campaignsEveryMs: 50, searchAttributes: true, typedWorkflows };
    const log = createLog('error', () => {});
    const reconciler = new Reconciler({ client, taskQueue, pool, log, types: [], ...settings });
    const running = reconciler.run();
    await eventually('its workflow is started again', async () => (await handle.describe()).runId !== runId);
    const snapshot = await set.follow(campaign);
    assert.deepEqual([snapshot.state, snapshot.completed], ['Finished', 15]);
    assert.equal((await set.replays()).length, 15);
    reconciler.stop();
    await running;
  });

  it('is paused when its workflow is canceled', async () => {
    const set = await setOf('cancelled', 5);
    const door = gate();
    behaviors.set(set.group, () => door.opened);
    const campaign = await set.replay({ concurrency: 1 });
    const handle = inbox.client.workflow.getHandle(campaignWorkflowId(campaign.id));
    await eventually(
      'one replay is running',
      async () => (await campaignProgress(inbox.pool, campaign.id)).inFlight === 1,
    );
    await handle.cancel();
    const snapshot = await set.follow(campaign);
    assert.equal(snapshot.state, 'Paused');
    assert.match(snapshot.stateReason!, /its workflow was canceled/);
    door.open();
    await resumeCampaign(inbox, campaign.id);
    assert.equal((await set.follow(campaign)).state, 'Finished');
  });

  it('requests a replay again if the request was lost', async () => {
    const set = await setOf('lost', 3);
    const door = gate();
    behaviors.set(set.group, () => door.opened);
    const campaign = await set.replay({ canary: 0, concurrency: 2 });
    await eventually(
      'two replays are running',
      async () => (await set.items(campaign)).filter(({ replayedAt }) => replayedAt).length === 2,
    );
    // The state after a worker was killed between marking the item and sending the signal.
    await inbox.pool.query(
      `update inbox.campaign_items set asked_at = now() - interval '1 hour' where campaign_id = $1 and position = 3`,
      [campaign.id],
    );
    const item = await eventually('the item is replayed', async () => {
      const last = (await set.items(campaign))[2]!;
      return last.replayedAt ? last : null;
    });
    assert.ok(Date.now() - item.askedAt!.getTime() < 3_600_000);
    door.open();
    assert.equal((await set.follow(campaign)).completed, 3);
    assert.equal((await set.replays()).length, 3);
  });

  it('has the lowest priority in Temporal, and runs no first attempt in the workflow task', async () => {
    const set = await setOf('priority', 1);
    const campaign = await set.replay();
    await set.follow(campaign);
    const command = await inbox.client.workflow.getHandle(set.ids[0]!).fetchHistory();
    const scheduled = command.events!.flatMap((event) => event.activityTaskScheduledEventAttributes ?? []);
    assert.deepEqual(
      scheduled.map(({ activityType, priority }) => [activityType!.name, priority?.priorityKey]),
      [
        ['replayDeadLetter', 5],
        ['retry', 5],
      ],
    );
    const own = await inbox.client.workflow.getHandle(campaignWorkflowId(campaign.id)).fetchHistory();
    assert.equal(own.events![0]!.workflowExecutionStartedEventAttributes!.priority?.priorityKey, 5);
    const rounds = own.events!.flatMap((event) => event.activityTaskScheduledEventAttributes ?? []);
    assert.ok(
      rounds.every(
        ({ activityType, priority }) =>
          priority?.priorityKey === (activityType!.name === 'changeCampaign' ? 3 : 5),
      ),
    );
  });

  it('is refused without matching dead letters or with an invalid plan', async () => {
    const set = new DeadSet(inbox, 'nothing', 0);
    await assert.rejects(set.replay(), /no open dead letter matches the filter/);
    await assert.rejects(set.replay({ rate: 0 }), /rate: .*nothing was started/);
    await assert.rejects(set.replay({ stopAbove: 2 }), /stopAbove: /);
    await assert.rejects(campaignProgress(inbox.pool, 'x'), /no campaign has the id "x"/);
    const missing = inbox.client.workflow.start('replayCampaign', {
      taskQueue: inbox.taskQueue,
      workflowId: inbox.id('inbox-campaign'),
      args: [{ campaignId: '00000000-0000-7000-8000-000000000000' }],
    });
    await assert.rejects((await missing).result(), (error) => {
      assert.equal((error as { cause: { type?: string } }).cause.type, 'UnknownCampaign');
      return true;
    });
  });
});
