import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { withTransaction } from '../../../src/platform/postgres.ts';
import type { Message } from '../../../src/commands/message.ts';
import { START_LEASE_MS, takePendingEntries } from '../../../src/store/dispatch.ts';
import { allCompleted, createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { startProxy } from '../../support/proxy.ts';
import { eventually, gate } from '../../support/wait.ts';

const note = defineCommand({
  type: 'Note',
  schema: z.object({}),
  async handle({ tx, messageId }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
  },
});

describe('the relay', () => {
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    fixture = await createTestInbox();
    await fixture.pool.query('create table effects (message_id text)');
    inbox = await createInbox({ pool: fixture.pool });
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  const messages = (name: string, count: number) =>
    Array.from({ length: count }, (_, index) => ({
      messageId: fixture.id(`${name}-${index}`),
      type: 'Note',
      payload: {},
    }));

  /** In a transaction, because otherwise the worker in this process is told directly instead of by NOTIFY or polling. */
  const send = (sent: readonly Message[]) => withTransaction(fixture.pool, (tx) => inbox.send(sent, { tx }));

  /** Waits until all are completed, and checks that each had one effect. */
  async function allCompletedOnce(sent: readonly { messageId: string }[]): Promise<void> {
    await allCompleted(fixture.pool, sent);
    const ids = sent.map(({ messageId }) => messageId);
    const effects = await rows(fixture.pool, 'select from effects where message_id = any ($1)', [ids]);
    assert.equal(effects.length, ids.length, 'one effect each');
  }

  it('completes a burst that is larger than its slots, and never runs more attempts than it has slots', async () => {
    const burst = messages('burst', 120);
    await send(burst);
    let running = 0;
    let most = 0;
    const counted = defineCommand({
      ...note,
      async handle(context) {
        running += 1;
        most = Math.max(most, running);
        try {
          await note.handle(context);
          // Long enough that attempts overlap.
          await context.tx.query('select pg_sleep(0.02)');
        } finally {
          running -= 1;
        }
      },
    });
    const worker = await fixture.startWorker([counted], { concurrency: 8 });
    await allCompletedOnce(burst);
    assert.ok(most > 1 && most <= 8, `${most} attempts at the same time`);
    await worker.stop();
  });

  it('finds every type quickly, even if it knows more types than it has slots', async () => {
    const many = Array.from({ length: 72 }, (_, index) => [
      { ...note, type: `Slow${index}` },
      { ...note, type: `Express${index}`, express: true },
      { ...note, type: `Recorded${index}`, express: 'recorded' as const },
    ]).flat();
    const worker = await fixture.startWorker(many, { concurrency: 1, expressConcurrency: 1 });
    const types = ['Slow67', 'Express67', 'Recorded67', 'Slow5', 'Express5', 'Recorded5'];
    const sent = types.map((type) => ({ messageId: fixture.id(`many-${type}`), type, payload: {} }));
    const began = performance.now();
    await send(sent);
    await allCompletedOnce(sent);
    const needWorkflow = `select from inbox.entries where message_id like $1 and needs_workflow`;
    await eventually(
      'the records are written',
      async () => (await rows(fixture.pool, needWorkflow, [fixture.id('many-%')])).length === 0,
    );
    // One type per second would take 72 s or more.
    assert.ok(performance.now() - began < 36_000, 'no type waits until all others were scanned');
    await worker.stop();
  });

  it('shares the work with other relays', async () => {
    const handled = [0, 0, 0];
    const twoWork = gate();
    const workers = await Promise.all(
      handled.map((_, index) => {
        const counted = defineCommand({
          ...note,
          async handle(context) {
            handled[index]! += 1;
            if (handled.filter((count) => count > 0).length > 1) twoWork.open();
            // All slots of the first worker are taken until another worker has taken entries, too.
            await twoWork.opened;
            await note.handle(context);
          },
        });
        return fixture.startWorker([counted], { concurrency: 8 });
      }),
    );
    const shared = messages('shared', 120);
    await send(shared);
    await allCompletedOnce(shared);
    assert.ok(
      handled.filter((count) => count > 0).length > 1,
      `handled by each worker: ${handled.join(', ')}`,
    );
    await Promise.all(workers.map((worker) => worker.stop()));
  });

  it('takes entries that another relay took but did not start, once their lease has expired', async () => {
    const orphans = messages('orphan', 3);
    await send(orphans);
    // A relay that dies between taking and starting entries leaves nothing but their lease.
    const shares = [{ type: 'Note', floor: Number.NEGATIVE_INFINITY, most: 10 }];
    assert.equal((await takePendingEntries(fixture.pool, shares, [])).rows.length, 3);
    const again = await takePendingEntries(fixture.pool, shares, []);
    assert.equal(again.rows.length, 0, 'no other relay takes leased entries');
    // Let the lease expire without waiting for it.
    await fixture.pool.query(
      `update inbox.entries set relayed_at = relayed_at - $1 * interval '1 millisecond'`,
      [START_LEASE_MS],
    );
    const worker = await fixture.startWorker([note]);
    await allCompletedOnce(orphans);
    await worker.stop();
  });

  it('can be shut down any number of times', async () => {
    const worker = await fixture.startWorker([note]);
    await Promise.all([worker.stop(), worker.stop()]);
    await worker.stop();
  });

  it('keeps working when its LISTEN connection is terminated', async () => {
    const worker = await fixture.startWorker([note]);
    const listeners = `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'inbox listener' and query like 'listen inbox_pending%'`;
    await eventually(
      'its LISTEN connection exists and is terminated',
      async () => (await rows(fixture.pool, listeners)).length > 0,
    );
    const afterwards = messages('terminated', 3);
    await send(afterwards);
    await allCompletedOnce(afterwards);
    await worker.stop();
  });

  it('keeps working when all connections of its worker to Postgres go silent', async () => {
    const url = new URL(fixture.database.url);
    const proxy = await startProxy(Number(url.port));
    url.port = String(proxy.port);
    url.hostname = '127.0.0.1';
    const worker = await fixture.startWorker([note], { concurrency: 2, retryConcurrency: 1 }, url.href);
    const sentBefore = messages('before', 3);
    await send(sentBefore);
    await allCompletedOnce(sentBefore);
    assert.ok(proxy.blackhole() > 0);
    const afterwards = messages('silent', 3);
    await send(afterwards);
    await allCompletedOnce(afterwards);
    proxy.cut();
    await worker.stop();
    await proxy.close();
  });
});
