/**
 * Starts and signals the inbox's own workflows, with an owner check and a time limit.
 *
 * @module
 */
import {
  ALERT_WORKFLOW_TYPE,
  alertWorkflowId,
  CAMPAIGN_PRIORITY,
  CAMPAIGN_WORKFLOW_TYPE,
  campaignWorkflowId,
} from '../core/protocol.ts';
import { summaryLine } from '../core/markdown.ts';
import type { CampaignArgument, OperatorNote, ReplayRequest } from '../core/protocol.ts';
import type { AlertToStart } from '../store/alerts.ts';
import { withinLimit } from './answer-limit.ts';
import { isTypeOfCommand, workflowForEntry } from './command-workflow.ts';
import type { TypedWorkflows } from './command-workflow.ts';
import { signalOrStart, startUnlessExists } from './workflow-owner.ts';
import type { OwnWorkflow, WorkflowOwner } from './workflow-owner.ts';

export interface Signaller extends WorkflowOwner {
  typedWorkflows: TypedWorkflows;
}

/** The command whose workflow gets a signal. */
export interface SignaledCommand {
  messageId: string;
  /** Null if it is not known. */
  commandType: string | null;
}

/**
 * Signals a command's workflow, and starts it first if it is not running: it may have been terminated, deleted or timed out.
 *
 * @throws WorkflowIdTakenError if a foreign workflow, which is never signaled, has the message_id as its ID; the client's
 *   error if Temporal cannot be reached or refuses the signal; an Error if Temporal doesn't answer within 10 s
 */
export function signalCommand(
  signaller: Signaller,
  { messageId, commandType }: SignaledCommand,
  signal: string,
  request: ReplayRequest,
): Promise<void> {
  const { type, args } = workflowForEntry(commandType, signaller.typedWorkflows);
  const workflow: OwnWorkflow = {
    type,
    isType: (found) => isTypeOfCommand(found, commandType),
    options: { workflowId: messageId, args },
  };
  return withinLimit(
    `the ${signal} of ${messageId}`,
    () => signalOrStart(signaller, workflow, signal, request),
    signaller,
  );
}

/** @throws the same errors as {@link signalCommand} */
export function signalCampaign(
  signaller: WorkflowOwner,
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
 * Starts the workflow of a campaign. Returns true if it was started, false if it is already running.
 *
 * @throws the same errors as {@link signalCommand}
 */
export async function startCampaignWorkflow(signaller: WorkflowOwner, campaignId: string): Promise<boolean> {
  const what = `the start of campaign ${campaignId}`;
  const started = await withinLimit(
    what,
    () => startUnlessExists(signaller, campaignWorkflow(campaignId)),
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
 * Starts the workflow of an alert, unless it is already running.
 *
 * @throws the same errors as {@link signalCommand}
 */
export async function startAlertWorkflow(
  signaller: WorkflowOwner,
  { id, failureGroup, count }: AlertToStart,
): Promise<void> {
  // A closed run (terminated, canceled) doesn't prevent a new one: the row decides whether there is work to do.
  const workflow: OwnWorkflow = {
    type: ALERT_WORKFLOW_TYPE,
    options: {
      workflowId: alertWorkflowId(id),
      args: [id],
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      staticSummary: summaryLine(`${count} × ${failureGroup}`),
    },
  };
  await withinLimit(`the start of alert ${id}`, () => startUnlessExists(signaller, workflow), signaller);
}
