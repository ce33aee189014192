/**
 * Describes a workflow. It reads Temporal's raw response, because a foreign workflow may have a memo or search attributes
 * that the client cannot decode.
 *
 * @module
 */
import type { Client } from '@temporalio/client';
import { decodePayload } from './decode-payload.ts';
import { GRPC, grpcCodeOf } from './grpc-error.ts';
import { INBOX_MEMO } from '../core/protocol.ts';

export interface PendingActivity {
  type: string;
  attempt: number;
  /** The type of its last failure, such as `WrongInbox`; null for none. */
  failureType: string | null;
}

export interface WorkflowDescription {
  workflowId: string;
  runId: string;
  type: string;
  taskQueue: string;
  isRunning: boolean;
  /** True if it closed with a failure. */
  hasFailed: boolean;
  /** The id of the inbox that started it; null if another client or an older release started it. */
  inbox: string | null;
  /** The attempt of its pending workflow task, 0 for none. Above 1, the previous attempt failed or timed out. */
  taskAttempt: number;
  activities: PendingActivity[];
}

/** temporal.api.enums.v1.WorkflowExecutionStatus */
const RUNNING = 1;
const FAILED = 3;

/** Returns true if Temporal never allows this kind of call to this client, so a retry cannot help. */
export function isDenied(error: unknown): boolean {
  const code = grpcCodeOf(error);
  return code === GRPC.permissionDenied || code === GRPC.unauthenticated || code === GRPC.unimplemented;
}

/**
 * Describes the latest run with this workflow ID; null if there is none.
 *
 * @throws the client's error if Temporal cannot be reached or refuses the call
 */
export async function describeWorkflow(
  client: Client,
  workflowId: string,
): Promise<WorkflowDescription | null> {
  const { namespace } = client.options;
  const request = { namespace, execution: { workflowId } };
  try {
    const {
      workflowExecutionInfo: info,
      executionConfig,
      pendingWorkflowTask,
      pendingActivities,
    } = await client.workflowService.describeWorkflowExecution(request);
    return {
      workflowId,
      runId: info?.execution?.runId ?? '',
      type: info?.type?.name ?? '',
      taskQueue: executionConfig?.taskQueue?.name || info?.taskQueue || '',
      isRunning: Number(info?.status) === RUNNING,
      hasFailed: Number(info?.status) === FAILED,
      inbox: textOrNull(await decodePayload(client, info?.memo?.fields?.[INBOX_MEMO])),
      taskAttempt: pendingWorkflowTask?.attempt ?? 0,
      activities: (pendingActivities ?? []).map(({ activityType, attempt, lastFailure }) => ({
        type: activityType?.name ?? '',
        attempt: attempt ?? 1,
        failureType: lastFailure?.applicationFailureInfo?.type ?? null,
      })),
    };
  } catch (error) {
    if (grpcCodeOf(error) === GRPC.notFound) return null;
    throw error;
  }
}

/** How many of the latest events are searched for a failed workflow task. */
const LAST_EVENTS = 20;

/** Returns why the last workflow task of a run failed; null if none of the latest events is a failed workflow task. */
export async function lastTaskFailure(
  client: Client,
  { workflowId, runId }: Pick<WorkflowDescription, 'workflowId' | 'runId'>,
): Promise<string | null> {
  const { history } = await client.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: client.options.namespace,
    execution: { workflowId, runId },
    maximumPageSize: LAST_EVENTS,
  });
  const failed = (history?.events ?? []).find((event) => event.workflowTaskFailedEventAttributes);
  return failed?.workflowTaskFailedEventAttributes?.failure?.message ?? null;
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
