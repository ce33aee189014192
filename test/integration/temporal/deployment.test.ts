/**
 * A rainbow deploy with Temporal's worker versioning: workers of two versions run side by side, and dead letters that the old
 * version left are replayed by the new one.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { NativeConnection } from '@temporalio/worker';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { ConfigurationError, UnrecoverableError } from '../../../src/core/errors.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { readTemporal } from '../../../src/temporal/connection-config.ts';
import { createInboxWorker } from '../../../src/worker.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

/** The old release has the bug, the new one has the fix. */
const commandOf = (buildId: string) =>
  defineCommand({
    type: 'Pay',
    schema: z.object({ bug: z.boolean() }),
    handle({ payload }) {
      if (payload.bug && buildId === 'old') throw new UnrecoverableError('Bug');
      return { handledBy: buildId };
    },
  });

describe('workers with versions', () => {
  let fixture: TestInbox;
  let inbox: Inbox;
  let deploymentName: string;
  const stops: (() => Promise<void>)[] = [];

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
    deploymentName = `payments-${fixture.taskQueue}`;
  });
  after(async () => {
    for (const stop of stops) await stop();
    await inbox.close();
    await fixture.close();
  });

  /** Starts a worker of this version; returns a function that stops it. */
  async function startWorker(buildId: string): Promise<() => Promise<void>> {
    const { connectionOptions, namespace } = readTemporal();
    const connection = await NativeConnection.connect(connectionOptions);
    const worker = await createInboxWorker({
      commands: [commandOf(buildId)],
      databaseUrl: fixture.database.url,
      connection,
      namespace,
      settings: { taskQueue: fixture.taskQueue },
      log: createLog('error', () => {}),
      deployment: { deploymentName, buildId },
    });
    const running = worker.run();
    let stopped = false;
    const stop = async () => {
      if (stopped) return;
      stopped = true;
      worker.shutdown();
      await running;
      await connection.close();
    };
    stops.push(stop);
    return stop;
  }

  async function routeTo(buildId: string): Promise<void> {
    const { workflowService, options } = fixture.client;
    await eventually(`Temporal routes to ${buildId}`, () =>
      workflowService
        .setWorkerDeploymentCurrentVersion({ namespace: options.namespace, deploymentName, buildId })
        .then(
          () => true,
          // The version does not exist until its worker has polled.
          () => false,
        ),
    );
  }

  const send = (name: string, bug: boolean) =>
    inbox.send({ messageId: fixture.id(name), type: 'Pay', payload: { bug } });
  const result = async (name: string) => (await fixture.reaches(fixture.id(name), 'Completed')).result;

  it('hand dead letters over: the current version replays what an earlier one left', async () => {
    const stopOld = await startWorker('old');
    await routeTo('old');
    await send('before', false);
    assert.deepEqual(await result('before'), { handledBy: 'old' });
    for (const name of ['dead-1', 'dead-2']) {
      await send(name, true);
      await fixture.reaches(fixture.id(name), 'DeadLetter');
    }
    const [failure] = await rows<{ build_id: string }>(
      fixture.pool,
      'select build_id from inbox.failures where message_id = $1',
      [fixture.id('dead-1')],
    );
    assert.equal(failure!.build_id, 'old');

    await startWorker('new');
    await routeTo('new');
    // Both versions run; the old one gets no more workflows.
    await fixture.client.workflow.getHandle(fixture.id('dead-1')).signal('replay', { actor: 'ann' });
    assert.deepEqual(await result('dead-1'), { handledBy: 'new' });
    await send('after', true);
    assert.deepEqual(await result('after'), { handledBy: 'new' });

    await stopOld();
    await fixture.client.workflow.getHandle(fixture.id('dead-2')).signal('replay', { actor: 'ann' });
    assert.deepEqual(await result('dead-2'), { handledBy: 'new' });
  });

  it('need a name and a build id that Temporal accepts', async () => {
    const connection = await NativeConnection.connect(readTemporal().connectionOptions);
    const options = { commands: [commandOf('x')], databaseUrl: fixture.database.url, connection };
    for (const [deployment, message] of [
      [{ deploymentName: '', buildId: '1' }, /deployment.deploymentName must be a non-empty string/],
      [{ deploymentName: 'a.b', buildId: '1' }, /deployment.deploymentName must not contain a dot/],
      [{ deploymentName: 'a', buildId: 'x'.repeat(256) }, /deployment.buildId is longer than 255/],
      [{ deploymentName: '__a', buildId: '1' }, /deployment.deploymentName must not begin with/],
      [{ deploymentName: 'a', buildId: '__1' }, /deployment.buildId must not begin with/],
      [null as never, /deployment.deploymentName must be a non-empty string/],
      [{ deploymentName: 'a' } as never, /deployment.buildId must be a non-empty string/],
    ] as const) {
      await assert.rejects(createInboxWorker({ ...options, deployment }), (error: Error) => {
        assert.ok(error instanceof ConfigurationError);
        assert.match(error.message, message);
        return true;
      });
    }
    await connection.close();
  });
});
