/**
 * Starts and signals of the inbox's own workflows, checked and limited in time.
 *
 * @module
 */
import {
  ALERT_WORKFLOW_TYPE,
  alertWorkflowId,
  CAMPAIGN_PRIORITY,
  CAMPAIGN_WORKFLOW_TYPE,
  campaignWorkflowId,
  WORKFLOW_TYPE,
} from '../core/protocol.ts';
import { summaryLine } from '../core/markdown.ts';
import type { CampaignArgument, OperatorNote, ReplayRequest } from '../core/protocol.ts';
import type { AlertToStart } from '../store/alerts.ts';
import { withinLimit } from '../platform/deadline.ts';
import { signalOrStart, startUnlessThere } from './workflow-owner.ts';
import type { OwnWorkflow, WorkflowOwner } from './workflow-owner.ts';

export type Signaller = WorkflowOwner;

/**
 * Signals a command's workflow, and starts it first when it is gone: terminated, deleted or timed out.
 *
 * @throws WorkflowIdTakenError when a foreign workflow has the message_id as its ID, which is never signaled; what the client
 *   throws when Temporal cannot be reached or refuses the signal, an Error when it does not answer within 10 s
 */
export function askCommand(
  signaller: Signaller,
  messageId: string,
  signal: string,
  request: ReplayRequest,
): Promise<void> {
  const workflow = { type: WORKFLOW_TYPE, options: { workflowId: messageId, args: [] } };
  return withinLimit(
    `the ${signal} of ${messageId}`,
    () => signalOrStart(signaller, workflow, signal, request),
    signaller,
  );
}

/** @throws as {@link askCommand} */
export function askCampaign(
  signaller: Signaller,
  campaignId: string,
  signal: string,
  request: OperatorNote,
): Promise<void> {
  const what = `the ${signal} of campaign ${campaignId}`;
  return withinLimit(
    what,
    () => signalOrStart(signaller, campaignWorkflow(campaignId), signal, request),
    signaller,
  );
}

/**
 * Whether the workflow had to be started: false when it is at work.
 *
 * @throws as {@link askCommand}
 */
export async function startCampaignWorkflow(signaller: Signaller, campaignId: string): Promise<boolean> {
  const what = `the start of campaign ${campaignId}`;
  const started = await withinLimit(
    what,
    () => startUnlessThere(signaller, campaignWorkflow(campaignId)),
    signaller,
  );
  return started !== null;
}

function campaignWorkflow(campaignId: string): OwnWorkflow {
  const argument: CampaignArgument = { campaignId };
  return {
    type: CAMPAIGN_WORKFLOW_TYPE,
    options: {
      workflowId: campaignWorkflowId(campaignId),
      args: [argument],
      staticSummary: 'bulk replay',
      priority: CAMPAIGN_PRIORITY,
    },
  };
}

/**
 * Starts the workflow of an alert, unless it is at work.
 *
 * @throws as {@link askCommand}
 */
export async function startAlertWorkflow(
  signaller: Signaller,
  { id, failureGroup, count }: AlertToStart,
): Promise<void> {
  // A run that has ended (terminated, cancelled) is no reason not to go on: the row decides.
  const workflow: OwnWorkflow = {
    type: ALERT_WORKFLOW_TYPE,
    options: {
      workflowId: alertWorkflowId(id),
      args: [id],
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      staticSummary: summaryLine(`${count} × ${failureGroup}`),
    },
  };
  await withinLimit(`the start of alert ${id}`, () => startUnlessThere(signaller, workflow), signaller);
}
