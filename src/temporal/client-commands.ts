/**
 * Starts, replays and discards commands through a Temporal client, without access to Postgres.
 *
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import type { Client } from '@temporalio/client';
import { parseResult } from '../commands/parse-result.ts';
import { checkMessage, toMessage } from '../sending/accept-messages.ts';
import type { NewEntry } from '../store/entries.ts';
import type { CommandContract, InferResult } from '../commands/contract.ts';
import type { MessageFor } from '../commands/message.ts';
import { checkMessageId, DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import { IdempotencyConflictError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import { DEFAULT_TASK_QUEUE, DISCARD_SIGNAL, REPLAY_SIGNAL, WORKFLOW_TYPE } from '../core/protocol.ts';
import type { DiscardRequest, Envelope, MessageOptions, ReplayRequest } from '../core/protocol.ts';
import { ALWAYS_TYPED, isTypeOfCommand } from './command-workflow.ts';
import { decodePayload } from './decode-payload.ts';
import { signalCommand } from './signal-workflow.ts';
import { describeWorkflow } from './workflow-description.ts';
import { tracedSend } from '../telemetry/traced-send.ts';
import { startUnlessExists } from './workflow-owner.ts';
import type { WorkflowOwner } from './workflow-owner.ts';
import { withinLimit } from './answer-limit.ts';

export interface SignalOptions {
  /** The task queue of the inbox's workers. Default `inbox`. */
  taskQueue?: string;
}

export type StartOptions = SignalOptions;

/** A started command. */
export interface CommandHandle<Result> {
  readonly messageId: string;
  /** False if a workflow for this message_id was already running. */
  readonly started: boolean;
  /**
   * Waits for the handler's result. While the command is a dead letter, it waits for someone to replay or discard it.
   *
   * @throws WorkflowFailedError, from `@temporalio/client`, if the command was refused or discarded; its cause's type says
   *   which (`IdempotencyConflict`, `InvalidEnvelope`, …); InvalidResultError if the result does not fit the contract
   */
  result(): Promise<Result>;
}

/**
 * Starts the workflow of a command. The worker stores the entry when it begins the first attempt. The payload becomes part of
 * Temporal's history. If you have a connection to Postgres, use `inbox.send` instead.
 *
 * A repeat with the same message_id gets the result of the first message. A message with the same message_id and another type
 * or payload is refused. This function refuses it if a workflow that was started by a Temporal client still runs for that
 * message_id. Otherwise the new workflow fails with `IdempotencyConflict`.
 *
 * @throws InvalidMessageError naming every field that the command's schema refuses; IdempotencyConflictError if a workflow
 *   with this ID is running for another type or payload; WorkflowIdTakenError if it is another application's workflow; the
 *   client's error if Temporal cannot be reached or refuses the start; an Error if Temporal doesn't answer within 10 s
 * @example
 * const handle = await startCommand(client, reserveStock, { messageId: 'order-1', payload: { sku: 'tea', quantity: 1 } });
 * const { free } = await handle.result();
 */
export async function startCommand<Command extends CommandContract>(
  client: Client,
  command: Command,
  message: MessageFor<Command>,
  { taskQueue = DEFAULT_TASK_QUEUE }: StartOptions = {},
): Promise<CommandHandle<InferResult<Command>>> {
  const entry = await checkMessage(toMessage(command, message), DEFAULT_MAX_PAYLOAD_BYTES);
  const { messageId } = entry;
  const started = await tracedSend(entry, (traced) =>
    withinLimit(`the start of ${messageId}`, () => startWorkflow({ client, taskQueue }, traced), { client }),
  );
  if (started === null) await checkSameMessage(client, messageId, entry);
  const handle = client.workflow.getHandle(messageId, started?.runId);
  return {
    messageId,
    started: started !== null,
    result: async () => parseResult(command, messageId, await handle.result()),
  };
}

function startWorkflow(owner: WorkflowOwner, entry: NewEntry) {
  const { messageId, commandType, payload } = entry;
  const options = optionsOf(entry);
  return startUnlessExists(owner, {
    type: commandType,
    isType: (type) => isTypeOfCommand(type, null),
    options: { workflowId: messageId, args: options === null ? [payload] : [payload, options] },
  });
}

/** The second argument of the workflow; null if there is nothing to put into it. */
function optionsOf({ correlationId, causationId, metadata }: NewEntry): MessageOptions | null {
  const options: MessageOptions = {
    ...(correlationId !== null && { correlationId }),
    ...(causationId !== null && { causationId }),
    ...(Object.keys(metadata).length > 0 && { metadata }),
  };
  return Object.keys(options).length === 0 ? null : options;
}

/** @throws IdempotencyConflictError if the existing workflow was started with another command */
async function checkSameMessage(
  client: Client,
  messageId: string,
  { commandType, payload }: NewEntry,
): Promise<void> {
  const first = await readFirstMessage(client, messageId);
  if (first === null) return;
  // As JSON, without properties that are undefined.
  const sent = JSON.parse(JSON.stringify(payload)) as Json;
  const isSamePayload = first.payload === undefined || isDeepStrictEqual(first.payload, sent);
  if (first.commandType === commandType && isSamePayload) return;
  throw new IdempotencyConflictError(messageId);
}

/**
 * Reads the command with which the latest run was started. Null if only Postgres knows it, or if it cannot be decoded; the
 * payload is undefined if only that is in Postgres.
 */
async function readFirstMessage(
  client: Client,
  workflowId: string,
): Promise<{ commandType: string; payload: unknown } | null> {
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId },
    maximumPageSize: 1,
  });
  const { workflowType, input } = history?.events?.[0]?.workflowExecutionStartedEventAttributes ?? {};
  const [first, second] = await Promise.all(
    [0, 1].map((index) => decodePayload(client, input?.payloads?.[index])),
  );
  const type = workflowType?.name ?? '';
  if (type === WORKFLOW_TYPE) {
    const isMessage = typeof first === 'object' && first !== null && 'commandType' in first;
    return isMessage ? (first as Envelope) : null;
  }
  const isStored = typeof second === 'object' && second !== null && 'stored' in second;
  return { commandType: type, payload: isStored ? undefined : first };
}

/**
 * Signals a dead letter's workflow to replay it. Resolves when Temporal has stored the signal; the replay follows.
 *
 * @throws InvalidMessageError for an invalid message_id; WorkflowIdTakenError if another application's workflow has this ID;
 *   the client's error if Temporal cannot be reached or refuses the signal; an Error if Temporal doesn't answer within 10 s
 * @example
 * await replayCommand(client, 'order-1', { actor: 'ann', reason: 'fixed in release 42' });
 */
export async function replayCommand(
  client: Client,
  messageId: string,
  request: ReplayRequest = {},
  { taskQueue = DEFAULT_TASK_QUEUE }: SignalOptions = {},
): Promise<void> {
  await signal(client, taskQueue, checkMessageId(messageId), REPLAY_SIGNAL, request);
}

/**
 * Signals a dead letter's workflow to discard it. Resolves when Temporal has stored the signal; the discard follows.
 *
 * @throws the same errors as {@link replayCommand}
 */
export async function discardCommand(
  client: Client,
  messageId: string,
  request: DiscardRequest = {},
  { taskQueue = DEFAULT_TASK_QUEUE }: SignalOptions = {},
): Promise<void> {
  await signal(client, taskQueue, checkMessageId(messageId), DISCARD_SIGNAL, request);
}

async function signal(
  client: Client,
  taskQueue: string,
  messageId: string,
  name: string,
  request: ReplayRequest,
): Promise<void> {
  const describe = () => describeWorkflow(client, messageId);
  const found = await withinLimit(`the description of workflow ${messageId}`, describe, { client });
  // If the workflow has closed, the new one gets the same type. A failed one may have been started with a wrong type; then
  // only Postgres knows the right one, and handleCommand reads it from there.
  const isKnown = found?.taskQueue === taskQueue && found.type !== WORKFLOW_TYPE && !found.hasFailed;
  const commandType = isKnown && isTypeOfCommand(found.type, null) ? found.type : null;
  await signalCommand(
    { client, taskQueue, typedWorkflows: ALWAYS_TYPED },
    { messageId, commandType },
    name,
    request,
  );
}
