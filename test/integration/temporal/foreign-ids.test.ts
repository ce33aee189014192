/**
 * Clients that may start workflows and call activities can pass malformed ids. They are refused immediately and never
 * retried.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WorkflowFailedError } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { readTemporal } from '../../../src/temporal/connection-config.ts';
import { ALERT_WORKFLOW_TYPE, CAMPAIGN_WORKFLOW_TYPE, INBOX_MEMO } from '../../../src/core/protocol.ts';
import { bundle } from '../../support/bundle.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

const UUID = '00000000-0000-7000-8000-000000000000';
const IDS: unknown[] = ['x', 7, null, [UUID], `{${UUID}}`, `${UUID}\n`];

const quick = defineCommand({ type: 'Quick', schema: z.object({}), handle: () => 'done' });

interface Failure {
  type?: string;
  message: string;
  retryState?: string;
  cause?: Failure;
}

describe('a malformed id', () => {
  let fixture: TestInbox;
  let connection: NativeConnection;
  let caller: Worker;
  let calling: Promise<void>;

  before(async () => {
    fixture = await createTestInbox();
    await fixture.startWorker([quick]);
    const { connectionOptions, namespace } = readTemporal();
    connection = await NativeConnection.connect(connectionOptions);
    caller = await Worker.create({
      connection,
      namespace,
      taskQueue: fixture.id('callers'),
      workflowBundle: await bundle('test/support/calling-workflow.js'),
    });
    calling = caller.run();
  });
  after(async () => {
    caller.shutdown();
    await calling;
    await connection.close();
    await fixture.close();
  });

  /** The cause of a workflow's failure. */
  async function failureOf(
    type: string,
    args: unknown[],
    options: { taskQueue?: string; memo?: Record<string, unknown> } = {},
  ): Promise<Failure> {
    const workflowId = fixture.id(`${type}-${JSON.stringify(args)}-${JSON.stringify(options)}`);
    const run = {
      taskQueue: fixture.taskQueue,
      workflowId,
      args,
      workflowExecutionTimeout: '2 minutes' as const,
      ...options,
    };
    const handle = await fixture.client.workflow.start(type, run);
    const thrown: unknown = await handle.result().catch((error: unknown) => error);
    assert.ok(thrown instanceof WorkflowFailedError, `${workflowId}: ${String(thrown)}`);
    return thrown.cause as Failure;
  }

  for (const activity of ['lookAtCampaign', 'replayItems', 'changeCampaign']) {
    it(`makes ${activity} fail without retries`, async () => {
      const inputs = [...IDS.map((campaignId) => ({ campaignId, change: 'pause' })), {}, null, 'x'];
      const failures = await Promise.all(
        inputs.map((input) =>
          failureOf('callActivity', [fixture.taskQueue, activity, input], {
            taskQueue: fixture.id('callers'),
          }),
        ),
      );
      for (const [index, { retryState, cause }] of failures.entries()) {
        const input = JSON.stringify(inputs[index]);
        assert.equal(retryState, 'NON_RETRYABLE_FAILURE', input);
        assert.equal(cause?.type, 'UnknownCampaign', input);
        assert.match(cause.message, /^no campaign has the id .*; `inbox campaigns` lists/, input);
      }
    });
  }

  it('makes the workflow of a campaign or an alert fail', async () => {
    for (const id of IDS) {
      const { type } = await failureOf(CAMPAIGN_WORKFLOW_TYPE, [{ campaignId: id }]);
      assert.equal(type, 'UnknownCampaign', JSON.stringify(id));
      const alert = await failureOf(ALERT_WORKFLOW_TYPE, [id]);
      assert.equal((alert.cause ?? alert).type, 'InvalidAlert', JSON.stringify(id));
    }
  });

  it('in the memo, in place of the inbox id, makes the workflow fail', async () => {
    const memo = { [INBOX_MEMO]: 'not-a-uuid' };
    const command = await failureOf('handleCommand', [{ commandType: 'Quick', payload: {} }], { memo });
    assert.equal(command.type, 'WrongInbox');
    assert.match(command.message, /start it without that memo/);
    const campaign = await failureOf(CAMPAIGN_WORKFLOW_TYPE, [{ campaignId: UUID }], { memo });
    assert.equal(campaign.type, 'WrongInbox');
  });
});
