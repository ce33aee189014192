/** The workflows of a test are ended whatever their memos contain. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WorkflowFailedError } from '@temporalio/client';
import { WORKFLOW_TYPE } from '../../../src/core/protocol.ts';
import { terminateWorkflows } from '../../../src/testing/test-namespace.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const isTerminated = (error: unknown) =>
  error instanceof WorkflowFailedError && /the test has ended/.test(String(error.cause));

describe('ending the workflows of a test', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
  });
  after(() => inbox.close());

  it('ends a workflow whose memo this client cannot decode', async () => {
    const { client, taskQueue } = inbox;
    const workflowId = inbox.id('encrypted-memo');
    const encrypted = {
      metadata: { encoding: Buffer.from('binary/encrypted') },
      data: Buffer.from('secret'),
    };
    await client.workflowService.startWorkflowExecution({
      namespace: client.options.namespace,
      requestId: workflowId,
      workflowId,
      workflowType: { name: WORKFLOW_TYPE },
      taskQueue: { name: taskQueue },
      memo: { fields: { inbox: encrypted } },
    });
    await eventually('the workflow is listed', async () => {
      const { count } = await client.workflow.count(`TaskQueue = '${taskQueue}'`);
      return count === 1;
    });

    await terminateWorkflows(client, taskQueue);

    await assert.rejects(client.workflow.getHandle(workflowId).result(), isTerminated);
  });
});
