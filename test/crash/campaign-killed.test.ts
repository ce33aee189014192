import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { campaignProgress, followCampaign, startCampaign } from '../../src/operations/index.ts';
import { createTestInbox, rows } from '../support/inbox.ts';
import type { TestInbox } from '../support/inbox.ts';
import { seedDeadLetters } from '../support/dead-letters.ts';
import { eventually } from '../support/wait.ts';
import { startFleet } from '../support/worker-fleet.ts';
import type { WorkerFleet } from '../support/worker-fleet.ts';

const ITEMS = 90;
const KILLS = 2;

describe('a campaign whose workers are killed', () => {
  let fixture: TestInbox;
  let fleet: WorkerFleet;

  before(async () => {
    fixture = await createTestInbox();
    await fixture.pool.query('create table effects (message_id text)');
    fleet = await startFleet(fixture, './campaign-commands.js', 2);
  });
  after(async () => {
    await fleet.stop();
    await fixture.close();
  });

  it('continues, and replays each dead letter once', async () => {
    const ids = Array.from({ length: ITEMS }, (_, index) => fixture.id(`item-${index}`));
    await seedDeadLetters(fixture.pool, ids, { commandType: 'Mended', payload: {}, failureGroup: 'group' });
    const campaign = await startCampaign(fixture, {
      filter: { failureGroup: 'group' },
      canary: 5,
      rate: 50,
      // When a worker dies, the attempts that it was running count as failed.
      stopAbove: 1,
    });
    for (let kill = 1; kill <= KILLS; kill += 1) {
      await eventually(`the campaign has progressed before kill ${kill}`, async () => {
        const { completed } = await campaignProgress(fixture.pool, campaign.id);
        return completed >= (ITEMS / (KILLS + 1)) * kill;
      });
      const deaths = fleet.deaths;
      for (const worker of fleet.workers) worker.kill('SIGKILL');
      await eventually('the workers have died', () => fleet.deaths > deaths);
    }
    const snapshot = await followCampaign(fixture.pool, campaign.id);
    assert.deepEqual(
      [snapshot.state, snapshot.completed, snapshot.failed, snapshot.skipped],
      ['Finished', ITEMS, 0, 0],
      snapshot.stateReason ?? '',
    );
    const counts = async (sql: string) =>
      (
        await rows<{ count: number }>(
          fixture.pool,
          `select count(*)::integer as count from (${sql}) as found`,
        )
      )[0]!.count;
    assert.equal(await counts('select from effects'), ITEMS);
    assert.equal(await counts('select message_id from effects group by message_id having count(*) > 1'), 0);
    assert.equal(await counts(`select from inbox.audit where action = 'replay'`), ITEMS);
    assert.equal(await counts('select from inbox.entries where generation <> 1'), 0);
  });
});
