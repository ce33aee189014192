/**
 * Starts, replays and discards commands through a Temporal client, without access to Postgres.
 *
 * @module
 */
import type { Client } from '@temporalio/client';
import { checkMessage, toMessage } from '../sending/accept-messages.ts';
import type { CommandContract, InferResult } from '../commands/contract.ts';
import type { MessageFor } from '../commands/message.ts';
import { checkMessageId, DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import { DEFAULT_TASK_QUEUE, DISCARD_SIGNAL, REPLAY_SIGNAL, WORKFLOW_TYPE } from '../core/protocol.ts';
import type { DiscardRequest, Envelope, ReplayRequest } from '../core/protocol.ts';
import { summaryLine } from '../core/markdown.ts';
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
  /** False if its workflow was already running. */
  readonly started: boolean;
  /**
   * Waits for the handler's result. While the command is a dead letter, it waits for someone to replay or discard it.
   *
   * @throws WorkflowFailedError, from `@temporalio/client`, if the command was refused or discarded; its cause's type says
   *   which (`IdempotencyConflict`, `InvalidEnvelope`, …)
   */
  result(): Promise<Result>;
}

/**
 * Starts the workflow of a command. The worker stores the entry when it gets to the first attempt; the payload becomes part
 * of Temporal's history. Use `inbox.send` instead where you have a connection to Postgres.
 *
 * A repeat with the same message_id gets the result of the first message. One with another payload fails with
 * `IdempotencyConflict` once the first workflow has ended; while that runs, the repeat cannot be told apart from it.
 *
 * @throws InvalidMessageError naming every field that the command's schema refuses; WorkflowIdTakenError if another
 *   application's workflow has this ID; the client's error if Temporal cannot be reached or refuses the start; an Error if
 *   Temporal doesn't answer within 10 s
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
  const handle = client.workflow.getHandle(messageId, started?.runId);
  return {
    messageId,
    started: started !== null,
    result: () => handle.result() as Promise<InferResult<Command>>,
  };
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
