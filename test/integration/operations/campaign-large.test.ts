import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { campaignProgress, followCampaign, startCampaign } from '../../../src/operations/index.ts';
import { campaignWorkflowId } from '../../../src/core/protocol.ts';
import { mend } from '../../support/campaign.ts';
import { seedDeadLetters } from '../../support/dead-letters.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const ITEMS = 160;
/** Each state change is one round of the workflow, and one run of it has at most 100 rounds. */
const CHANGES = 60;
/** Long enough for a machine that is busy with other work. */
const LIMIT_MS = 400_000;

describe('a large campaign', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.pool.query('create table effects (message_id text)');
    await inbox.startWorker([mend], { retryConcurrency: 64 });
  });
  after(() => inbox.close());

  it('replays each dead letter once, in several workflow runs with short histories', async () => {
    const ids = Array.from({ length: ITEMS }, (_, index) => inbox.id(`large-${index}`));
    await seedDeadLetters(inbox.pool, ids, {
      commandType: mend.type,
      payload: { group: 'large' },
      failureGroup: 'large',
    });
    const campaign = await startCampaign(inbox, {
      filter: { failureGroup: 'large' },
      rate: 2_000,
      concurrency: 60,
    });
    const handle = inbox.client.workflow.getHandle(campaignWorkflowId(campaign.id));
    const runs = [(await handle.describe()).runId];
    await eventually(
      'a quarter of the items is completed',
      async () => (await campaignProgress(inbox.pool, campaign.id)).completed >= ITEMS / 4,
      LIMIT_MS,
    );
    for (let change = 0; change < CHANGES; change += 1) {
      await handle.signal('pause');
      await handle.signal('resume');
    }
    runs.push(
      await eventually('the campaign continues in a new run', async () => {
        const { runId } = await handle.describe();
        return runs.includes(runId) ? null : runId;
      }),
    );
    const snapshot = await eventually(
      'the campaign has finished',
      async () => {
        const last = await followCampaign(inbox.pool, campaign.id);
        return last.state === 'Finished' ? last : null;
      },
      LIMIT_MS,
    );
    assert.deepEqual([snapshot.completed, snapshot.failed, snapshot.skipped], [ITEMS, 0, 0]);
    const [found] = await rows<Record<string, number>>(
      inbox.pool,
      `select (select count(*)::integer from effects) as effects,
              (select count(distinct message_id)::integer from effects) as commands,
              (select count(*)::integer from inbox.audit where action = 'replay') as replays,
              (select count(*)::integer from inbox.dead_letters where resolution is null) as open`,
    );
    assert.deepEqual(found, { effects: ITEMS, commands: ITEMS, replays: ITEMS, open: 0 });
    for (const runId of runs) {
      const { historyLength } = await inbox.client.workflow
        .getHandle(campaignWorkflowId(campaign.id), runId)
        .describe();
      assert.ok(historyLength < 3_000, `${historyLength} events`);
    }
  });
});
