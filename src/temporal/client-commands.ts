/**
 * Starts, replays and discards commands through a Temporal client, without access to Postgres.
 *
 * @module
 */
import { isDeepStrictEqual } from 'node:util';
import type { Client } from '@temporalio/client';
import { parseResult } from '../commands/parse-result.ts';
import { checkMessage, toMessage } from '../sending/accept-messages.ts';
import type { CommandContract, InferResult } from '../commands/contract.ts';
import type { MessageFor } from '../commands/message.ts';
import { checkMessageId, DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import { IdempotencyConflictError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import { DEFAULT_TASK_QUEUE, DISCARD_SIGNAL, REPLAY_SIGNAL, WORKFLOW_TYPE } from '../core/protocol.ts';
import type { DiscardRequest, Envelope, ReplayRequest } from '../core/protocol.ts';
import { summaryLine } from '../core/markdown.ts';
import { decodePayload } from './decode-payload.ts';
import { signalCommand } from './signal-workflow.ts';
import { startUnlessExists } from './workflow-owner.ts';
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
  const { messageId, ...entry } = await checkMessage(toMessage(command, message), DEFAULT_MAX_PAYLOAD_BYTES);
  const envelope: Envelope = entry;
  const started = await withinLimit(
    `the start of ${messageId}`,
    () =>
      startUnlessExists(
        { client, taskQueue },
        {
          type: WORKFLOW_TYPE,
          options: { workflowId: messageId, args: [envelope], staticSummary: summaryLine(command.type) },
        },
      ),
    { client },
  );
  if (started === null) await checkSameMessage(client, messageId, envelope);
  const handle = client.workflow.getHandle(messageId, started?.runId);
  return {
    messageId,
    started: started !== null,
    result: async () => parseResult(command, messageId, await handle.result()),
  };
}

/** @throws IdempotencyConflictError if the existing workflow was started with another envelope */
async function checkSameMessage(client: Client, messageId: string, envelope: Envelope): Promise<void> {
  const first = await readArgument(client, messageId);
  if (typeof first !== 'object' || first === null || !('commandType' in first)) return;
  const { commandType, payload } = first as Envelope;
  // As JSON, without properties that are undefined.
  const sent = JSON.parse(JSON.stringify(envelope.payload)) as Json;
  if (commandType === envelope.commandType && isDeepStrictEqual(payload, sent)) return;
  throw new IdempotencyConflictError(messageId);
}

/** Reads the argument with which the latest run was started; undefined if there is none, or if it cannot be decoded. */
async function readArgument(client: Client, workflowId: string): Promise<unknown> {
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId },
    maximumPageSize: 1,
  });
  const { input } = history?.events?.[0]?.workflowExecutionStartedEventAttributes ?? {};
  return decodePayload(client, input?.payloads?.[0]);
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
  await signalCommand({ client, taskQueue }, checkMessageId(messageId), REPLAY_SIGNAL, request);
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
  await signalCommand({ client, taskQueue }, checkMessageId(messageId), DISCARD_SIGNAL, request);
}
