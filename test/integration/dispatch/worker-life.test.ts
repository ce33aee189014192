/**
 * How a worker ends: before it runs, while it runs, twice, and after a failure of one of its parts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { NativeConnection, Worker } from '@temporalio/worker';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { readTemporal } from '../../../src/temporal/connection-config.ts';
import { ConfigurationError, WorkerEndedError } from '../../../src/core/errors.ts';
import { createLog } from '../../../src/platform/log.ts';
import { WorkerLife } from '../../../src/dispatch/worker-life.ts';
import { loadWorkflowBundle } from '../../../src/temporal/workflow-bundle.ts';
import { createInboxWorker } from '../../../src/worker.ts';
import type { InboxWorker } from '../../../src/worker.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const note = defineCommand({ type: 'Note', schema: z.object({}), handle: () => 'noted' });

describe('a worker', () => {
  let fixture: TestInbox;

  before(async () => {
    fixture = await createTestInbox();
  });
  after(() => fixture.close());

  /** Also checks that the worker is released: the connection can only be closed when no Temporal worker uses it. */
  async function withWorker(
    use: (worker: InboxWorker) => Promise<void>,
    settings: Record<string, unknown> = {},
  ): Promise<void> {
    const { connectionOptions, namespace } = readTemporal();
    const connection = await NativeConnection.connect(connectionOptions);
    try {
      const worker = await createInboxWorker({
        commands: [note],
        databaseUrl: fixture.database.url,
        connection,
        namespace,
        settings: { taskQueue: fixture.taskQueue, ...settings },
        log: createLog('error', () => {}),
      });
      await use(worker);
    } finally {
      await connection.close();
    }
  }

  const connections = async () => {
    const { rows } = await fixture.pool.query<{ count: number }>(
      `select count(*)::integer as count from pg_stat_activity
       where datname = current_database() and application_name ~ '^inbox (attempts|claims|records|listener)$'`,
    );
    return rows[0]!.count;
  };
  const released = () => eventually('all connections are released', async () => (await connections()) === 0);

  it('releases everything when it is closed without having run, and cannot run afterwards', async () => {
    await withWorker(async (worker) => {
      assert.ok((await connections()) > 0);
      await worker.close();
      await released();
      await worker.close();
      worker.shutdown();
      await assert.rejects(worker.run(), (error: Error) => {
        assert.ok(error instanceof WorkerEndedError);
        assert.match(error.message, /it was shut down before it ran; create another worker/);
        return true;
      });
    });
  });

  it('releases everything when it is shut down before it runs', async () => {
    await withWorker(async (worker) => {
      worker.shutdown();
      worker.shutdown();
      await assert.rejects(worker.run(), WorkerEndedError);
      await worker.close();
      await released();
    });
  });

  it('runs once, and can be shut down and closed any number of times', async () => {
    await withWorker(async (worker) => {
      const running = worker.run();
      await assert.rejects(worker.run(), /run\(\) was already called/);
      const id = fixture.id('once');
      await fixture.start(id, { commandType: 'Note', payload: {} });
      await fixture.reaches(id, 'Completed');
      worker.shutdown();
      worker.shutdown();
      await Promise.all([worker.close(), worker.close(), running]);
      worker.shutdown();
      await worker.close();
      await assert.rejects(worker.run(), WorkerEndedError);
      await released();
    });
  });

  it('shuts down cleanly when a part of it fails, and reports the error', { timeout: 60_000 }, async () => {
    const { connectionOptions, namespace } = readTemporal();
    const connection = await NativeConnection.connect(connectionOptions);
    const done: string[] = [];
    const broken = new Error('this loop is broken');
    const life = new WorkerLife({
      worker: await Worker.create({
        connection,
        namespace,
        taskQueue: fixture.id('broken'),
        workflowBundle: await loadWorkflowBundle(),
      }),
      loops: [
        {
          run: () => {
            throw broken;
          },
          stop: () => done.push('broken stopped'),
        },
        { run: async () => {}, stop: () => done.push('other stopped') },
      ],
      shutdownBegun: () => {},
      graceMs: 0,
      cancelAttempts: new AbortController(),
      started: () => () => done.push('ended'),
      release: async () => void done.push('released'),
      log: createLog('error', () => {}),
    });
    await assert.rejects(life.run(), broken);
    assert.deepEqual(done, ['broken stopped', 'other stopped', 'ended', 'released']);
    await connection.close();
  });

  it('rejects invalid settings before it starts', async () => {
    const wrong = { concurrency: 0, shutdownGrace: '5s' };
    await assert.rejects(
      withWorker(async (worker) => worker.close(), wrong),
      (error: Error) => {
        assert.ok(error instanceof ConfigurationError);
        assert.match(error.message, /settings\.concurrency \(0\) .*settings\.shutdownGrace is not a setting/);
        return true;
      },
    );
    await released();
  });
});
