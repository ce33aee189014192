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

/** A worker that was slow for too long counts as lost, and another one gets the same round; the first still works on it. */
describe('two rounds of a campaign at once', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
  });
  after(() => inbox.close());

  it('have no more under way together than the campaign may', async () => {
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
    const { pool, client, taskQueue } = inbox;
    const activities = createCampaignActivities({
      registry: createRegistry([mend]),
      claims: pool,
      attempts: pool,
      records: pool,
      signaller: { client, taskQueue },
      maxPayloadBytes: 1_000,
      worker: 'test',
      buildId: null,
      inbox: '00000000-0000-0000-0000-000000000000',
      searchAttributes: usableOf(false),
      shutdown: new AbortController().signal,
      log: createLog('error', () => {}),
    });
    const environments = [new MockActivityEnvironment(), new MockActivityEnvironment()];
    const lock = await pool.connect();
    await lock.query('begin');
    await lock.query('select from inbox.campaigns where id = $1 for update', [campaign!.id]);
    const rounds = environments.map((environment) =>
      environment.run((input: CampaignInput) => activities.replayItems(input), { campaignId: campaign!.id }),
    );
    await eventually('both have looked, and wait for their turn', async () => {
      const waiting = await rows(
        pool,
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return waiting.length === 2;
    });
    await lock.query('commit');
    lock.release();
    await Promise.all(rounds);
    const asked = (await set.items(campaign!)).filter(({ askedAt }) => askedAt !== null);
    assert.equal(asked.length, 4);
  });
});
