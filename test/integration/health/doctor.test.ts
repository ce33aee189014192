/**
 * `inbox doctor`: the checks of the outbox and of the namespace's retention.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { PublishError } from '../../../src/core/errors.ts';
import type { Finding } from '../../../src/health/finding.ts';
import { checkHealth } from '../../../src/health/check-health.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { insertEvents, emptyOutbox, parkedRows, publishingRelay, startRelay } from '../../support/outbox.ts';
import { seedEvent } from '../../support/seed.ts';
import { eventually } from '../../support/wait.ts';

describe('inbox doctor', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
  });
  after(() => inbox.close());

  async function find(name: string, namespace?: string): Promise<Finding | undefined> {
    const settings = { DATABASE_URL: inbox.database.url, INBOX_TASK_QUEUE: inbox.taskQueue };
    const env = { ...process.env, ...settings, ...(namespace && { TEMPORAL_NAMESPACE: namespace }) };
    return (await checkHealth({ env })).find((finding) => finding.name === name);
  }

  describe('and the outbox', () => {
    beforeEach(() => inbox.pool.query('truncate inbox.outbox'));

    it('reports no problem with new events', async () => {
      await insertEvents(inbox.pool, 3);
      assert.deepEqual(await find('outbox'), {
        name: 'outbox',
        ok: true,
        finding: 'no event has waited longer than a minute',
        remedy: null,
      });
    });

    it('reports no problem if no relay has ever published, but mentions the waiting events', async () => {
      await seedEvent(inbox.pool, 'Old', { days: 3, publishedDays: null });
      const { ok, finding } = (await find('outbox'))!;
      assert.ok(ok);
      assert.match(
        finding,
        /^1 unpublished for more than a minute, the oldest for 3 days; no relay has ever published/,
      );
    });

    it('detects that no relay is running anymore', async () => {
      await seedEvent(inbox.pool, 'Published', { days: 4, publishedDays: 4 });
      await seedEvent(inbox.pool, 'Old', { days: 3, publishedDays: null });
      await seedEvent(inbox.pool, 'Younger', { days: 2, publishedDays: null });
      const { ok, finding, remedy } = (await find('outbox'))!;
      assert.ok(!ok);
      assert.match(
        finding,
        /^2 unpublished for more than a minute, the oldest for 3 days; no relay is running$/,
      );
      assert.match(remedy!, /start a worker with --publish/);
    });

    it('detects a relay that cannot publish, and names the next event', async () => {
      await seedEvent(inbox.pool, 'Refused', { days: 3, publishedDays: null });
      const [refused] = (await inbox.pool.query<{ id: string }>('select id from inbox.outbox')).rows;
      const relay = startRelay({
        databaseUrl: inbox.database.url,
        publish: () => Promise.reject(new PublishError('the broker is down', { unavailable: true })),
      });
      try {
        await eventually('the relay holds the lease', () => publishingRelay(inbox.pool));
        const { ok, finding, remedy } = (await find('outbox'))!;
        assert.ok(!ok);
        assert.match(finding, /a relay is running \(.+ \d+\) but does not publish them/);
        assert.ok(remedy!.includes(refused!.id));
      } finally {
        await relay.stop();
      }
    });

    it('reports a parked aggregate with the event and the remedy', async () => {
      await emptyOutbox(inbox.pool);
      await insertEvents(inbox.pool, 3);
      const relay = startRelay({
        databaseUrl: inbox.database.url,
        publish: async (events) => {
          const rejected = events.slice(0, 1).map(({ id }) => ({ id, problem: 'too large' }));
          throw new PublishError('rejected', { rejected });
        },
      });
      try {
        const [parked] = await eventually('the aggregate is parked', async () => {
          const found = await parkedRows(inbox.pool);
          return found.length > 0 && found;
        });
        const { ok, finding, remedy } = (await find('outbox'))!;
        assert.ok(!ok);
        assert.match(finding, /^1 aggregate is parked, the oldest for \d+ s: the broker rejects event/);
        assert.ok(finding.includes(parked!.event_id));
        assert.match(remedy!, /inbox outbox list.*release --all.*skip/);
      } finally {
        await relay.stop();
      }
    });
  });

  describe('and the retention', () => {
    it('reports how long closed workflows are kept', async () => {
      const { ok, finding } = (await find('retention'))!;
      assert.ok(ok);
      assert.match(finding, /^closed workflows are kept for \d+ (h|days)$/);
    });

    it('detects a retention of less than a day and explains the consequences', async () => {
      const namespace = inbox.taskQueue;
      const { connection } = inbox.client;
      await connection.workflowService.registerNamespace({
        namespace,
        workflowExecutionRetentionPeriod: msToTs('6h'),
      });
      try {
        const short = await eventually('the server knows the namespace', () => find('retention', namespace));
        assert.ok(!short.ok);
        assert.equal(short.finding, 'closed workflows are deleted after 6 h');
        assert.match(short.remedy!, /namespace update --namespace inbox-\w+ --retention 72h/);
        assert.match(short.remedy!, /no command runs twice/);
      } finally {
        await (connection as Connection).operatorService.deleteNamespace({ namespace });
      }
    });
  });
});
