import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Worker } from '@temporalio/worker';
import { NativeConnection } from '@temporalio/worker';
import type { WorkflowHandle } from '@temporalio/client';
import type { CampaignSnapshot } from '../../../src/core/campaign.ts';
import { readTemporal } from '../../../src/temporal/connection-config.ts';
import type { CampaignAnswer, CampaignChangeInput } from '../../../src/core/activity-messages.ts';
import type { CampaignState } from '../../../src/core/protocol.ts';
import { loadWorkflowBundle } from '../../../src/temporal/workflow-bundle.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually, gate } from '../../support/wait.ts';

const STATES: Record<CampaignChangeInput['change'], CampaignState> = {
  pause: 'Paused',
  stop: 'Paused',
  resume: 'Running',
  abort: 'Aborted',
  finish: 'Finished',
};

/**
 * Milliseconds decide whether a signal arrives before or after the end of a round. So these tests run the real workflow on
 * the real server, with activities that the test controls.
 */
describe('the workflow of a campaign', () => {
  let inbox: TestInbox;
  let connection: NativeConnection;
  let worker: Worker;
  let working: Promise<void>;
  let state: CampaignState;
  /** What the next round does. It returns the snapshot that it took. */
  let round: () => Promise<CampaignSnapshot>;

  const snapshotOf = (settled = 0): CampaignSnapshot => ({
    id: 'c',
    state,
    stateReason: null,
    actor: 'ada',
    reason: null,
    canary: 0,
    rate: 20,
    concurrency: 1,
    stopAbove: 0.1,
    total: 2,
    completed: settled,
    failed: 0,
    skipped: 0,
    inFlight: 0,
    retrying: 0,
    judged: { settled, failed: 0, inFlight: 0 },
  });

  before(async () => {
    inbox = await createTestInbox();
    connection = await NativeConnection.connect(readTemporal().connectionOptions);
    worker = await Worker.create({
      connection,
      taskQueue: inbox.taskQueue,
      workflowBundle: await loadWorkflowBundle(),
      activities: {
        lookAtCampaign: async () => snapshotOf(),
        replayItems: () => round(),
        changeCampaign: async ({ change }: CampaignChangeInput): Promise<CampaignAnswer> => {
          state = STATES[change];
          return { look: snapshotOf(state === 'Finished' ? 2 : 0), problem: null };
        },
      },
    });
    working = worker.run();
  });
  after(async () => {
    worker.shutdown();
    await working;
    await connection.close();
    await inbox.close();
  });

  function start(): Promise<WorkflowHandle> {
    state = 'Running';
    const campaignId = randomUUID();
    return inbox.client.workflow.start('replayCampaign', {
      taskQueue: inbox.taskQueue,
      workflowId: `inbox-campaign-${campaignId}`,
      args: [{ campaignId }],
    });
  }

  /** A round that settles every item. */
  const finishingRound = async () => snapshotOf(2);

  it('continues after a resume, even if a round that was still running had read the state Paused', async () => {
    const [hasRead, end] = [gate(), gate()];
    round = async () => {
      state = 'Paused';
      const snapshot = snapshotOf();
      round = finishingRound;
      hasRead.open();
      await end.opened;
      return snapshot;
    };
    const handle = await start();
    await hasRead.opened;
    await handle.signal('resume');
    await eventually('the campaign is resumed', () => state === 'Running');
    end.open();
    const ended = (await eventually(
      'the workflow has ended',
      () => resultOf(handle),
      20_000,
    )) as CampaignSnapshot;
    assert.equal(ended.state, 'Finished');
  });

  it('stays paused, even if a round that was still running had read the state Running', async () => {
    const [hasRead, end] = [gate(), gate()];
    let rounds = 0;
    round = async () => {
      rounds += 1;
      const snapshot = snapshotOf();
      hasRead.open();
      await end.opened;
      return snapshot;
    };
    const handle = await start();
    await hasRead.opened;
    await handle.signal('pause');
    await eventually('the campaign is paused', () => state === 'Paused');
    end.open();
    await eventually('the workflow reports the pause', async () => {
      const progress = await handle.query<CampaignSnapshot | null>('progress');
      return progress?.state === 'Paused';
    });
    await handle.signal('abort');
    assert.equal(((await handle.result()) as CampaignSnapshot).state, 'Aborted');
    assert.equal(rounds, 1, 'a paused campaign runs no rounds');
  });
});

async function resultOf(handle: WorkflowHandle): Promise<unknown> {
  const { status } = await handle.describe();
  return status.name === 'RUNNING' ? null : handle.result();
}
