/**
 * How a workflow is asked for something: by a signal that starts it where it is gone, terminated, deleted or timed out.
 *
 * @module
 */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { CAMPAIGN_PRIORITY, CAMPAIGN_WORKFLOW_TYPE, campaignWorkflowId, WORKFLOW_TYPE } from './protocol.ts';
import type { CampaignArgument, OperatorNote, ReplayRequest } from './protocol.ts';

export interface Asker {
  client: Client;
  taskQueue: string;
}

/** @throws what the client throws when Temporal cannot be reached or refuses the signal */
export async function askCommand(
  { client, taskQueue }: Asker,
  messageId: string,
  signal: string,
  request: ReplayRequest,
): Promise<void> {
  await client.workflow.signalWithStart(WORKFLOW_TYPE, {
    workflowId: messageId,
    taskQueue,
    signal,
    signalArgs: [request],
  });
}

/** @throws what the client throws when Temporal cannot be reached or refuses the signal */
export async function askCampaign(
  { client, taskQueue }: Asker,
  campaignId: string,
  signal: string,
  request: OperatorNote,
): Promise<void> {
  const argument: CampaignArgument = { campaignId };
  await client.workflow.signalWithStart(CAMPAIGN_WORKFLOW_TYPE, {
    workflowId: campaignWorkflowId(campaignId),
    taskQueue,
    args: [argument],
    signal,
    signalArgs: [request],
    priority: CAMPAIGN_PRIORITY,
  });
}

/**
 * Whether it had to be started: false where it is at work.
 *
 * @throws what the client throws when Temporal cannot be reached or refuses the start
 */
export async function startCampaignWorkflow(
  { client, taskQueue }: Asker,
  campaignId: string,
): Promise<boolean> {
  const argument: CampaignArgument = { campaignId };
  try {
    await client.workflow.start(CAMPAIGN_WORKFLOW_TYPE, {
      workflowId: campaignWorkflowId(campaignId),
      taskQueue,
      args: [argument],
      staticSummary: 'bulk replay',
      priority: CAMPAIGN_PRIORITY,
    });
    return true;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
    throw error;
  }
}
