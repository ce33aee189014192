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
 * Whether a signal reaches the workflow before or after the end of a round is decided by milliseconds. So here the workflow
 * is the real one, on the real server, and its activities do what the test says when the test says it.
 */
describe('the workflow of a campaign', () => {
  let inbox: TestInbox;
  let connection: NativeConnection;
  let worker: Worker;
  let working: Promise<void>;
  let state: CampaignState;
  /** What the next round does; it returns the look that it took. */
  let round: () => Promise<CampaignSnapshot>;

  const look = (settled = 0): CampaignSnapshot => ({
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
        lookAtCampaign: async () => look(),
        replayItems: () => round(),
        changeCampaign: async ({ change }: CampaignChangeInput): Promise<CampaignAnswer> => {
          state = STATES[change];
          return { look: look(state === 'Finished' ? 2 : 0), problem: null };
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

  /** A round that does everything there is to do. */
  const everything = async () => look(2);

  it('goes on after a resume, when a round that was still under way has seen it paused', async () => {
    const [looked, end] = [gate(), gate()];
    round = async () => {
      state = 'Paused';
      const seen = look();
      round = everything;
      looked.open();
      await end.opened;
      return seen;
    };
    const handle = await start();
    await looked.opened;
    await handle.signal('resume');
    await eventually('it is resumed', () => state === 'Running');
    end.open();
    const ended = (await eventually('it has ended', () => resultOf(handle), 20_000)) as CampaignSnapshot;
    assert.equal(ended.state, 'Finished');
  });

  it('is paused, when a round that was still under way has seen it running', async () => {
    const [looked, end] = [gate(), gate()];
    let rounds = 0;
    round = async () => {
      rounds += 1;
      const seen = look();
      looked.open();
      await end.opened;
      return seen;
    };
    const handle = await start();
    await looked.opened;
    await handle.signal('pause');
    await eventually('it is paused', () => state === 'Paused');
    end.open();
    await eventually('the workflow knows', async () => {
      const told = await handle.query<CampaignSnapshot | null>('progress');
      return told?.state === 'Paused';
    });
    await handle.signal('abort');
    assert.equal(((await handle.result()) as CampaignSnapshot).state, 'Aborted');
    assert.equal(rounds, 1, 'no round for a campaign that is paused');
  });
});

async function resultOf(handle: WorkflowHandle): Promise<unknown> {
  const { status } = await handle.describe();
  return status.name === 'RUNNING' ? null : handle.result();
}
