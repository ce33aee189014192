import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import { usableOf } from '../../../src/temporal/search-attributes.ts';
import { createCampaignActivities } from '../../../activities/campaign.ts';
import { createLog } from '../../../src/platform/log.ts';
import { DEFAULT_PLAN } from '../../../src/operations/index.ts';
import type { CampaignInput } from '../../../src/core/activity-messages.ts';
import { createRegistry } from '../../../src/commands/registry.ts';
import { createCampaign } from '../../../src/store/campaigns.ts';
import { DeadSet, mend } from '../../support/campaign.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

/** If a worker is too slow, Temporal gives the same round to another worker, while the first one is still running it. */
describe('two concurrent rounds of a campaign', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
  });
  after(() => inbox.close());

  it('together stay within the concurrency of the campaign', async () => {
    const set = await new DeadSet(inbox, 'twice', 20).seed();
    const campaign = await createCampaign(inbox.pool, {
      ...DEFAULT_PLAN,
      canary: 0,
      rate: 1_000,
      concurrency: 4,
      actor: 'ada',
      reason: null,
      filter: { failureGroup: set.group },
    });
    const { pool, client, taskQueue, typedWorkflows } = inbox;
    const activities = createCampaignActivities({
      registry: createRegistry([mend]),
      claims: pool,
      attempts: pool,
      records: pool,
      signaller: { client, taskQueue, typedWorkflows },
      maxPayloadBytes: 1_000,
      worker: 'test',
      buildId: null,
      inbox: '00000000-0000-0000-0000-000000000000',
      searchAttributes: usableOf(false),
      shutdown: new AbortController().signal,
      log: createLog('error', () => {}),
      taskQueue: 'inbox',
      trace: { queries: false, queryText: false, errorMessages: false },
    });
    const environments = [new MockActivityEnvironment(), new MockActivityEnvironment()];
    const lock = await pool.connect();
    await lock.query('begin');
    await lock.query('select from inbox.campaigns where id = $1 for update', [campaign!.id]);
    const rounds = environments.map((environment) =>
      environment.run((input: CampaignInput) => activities.replayItems(input), { campaignId: campaign!.id }),
    );
    await eventually('both rounds wait for the lock', async () => {
      const waiting = await rows(
        pool,
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return waiting.length === 2;
    });
    await lock.query('commit');
    lock.release();
    await Promise.all(rounds);
    const requested = (await set.items(campaign!)).filter(({ askedAt }) => askedAt !== null);
    assert.equal(requested.length, 4);
  });
});
