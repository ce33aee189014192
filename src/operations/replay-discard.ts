/**
 * Replays or discards one dead letter.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { Pool } from 'pg';
import { checkJson, DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import { messageOf } from '../platform/error-message.ts';
import { NotADeadLetterError, RequestRefusedError } from '../core/errors.ts';
import { DISCARD_SIGNAL, REPLAY_SIGNAL, STATUS_QUERY } from '../core/protocol.ts';
import type { DiscardRequest, ReplayRequest, StatusReport } from '../core/protocol.ts';
import { inboxIdOf } from '../store/inbox-id.ts';
import { isTypeOfCommand } from '../temporal/command-workflow.ts';
import { signalCommand } from '../temporal/signal-workflow.ts';
import type { Signaller } from '../temporal/signal-workflow.ts';
import type { DeadLetter } from '../store/dead-letters.ts';
import { findLastDeadLetter, listDeadLetters } from '../store/dead-letters.ts';
import { describeWorkflow } from '../temporal/workflow-description.ts';
import { isOurs, workflowIdTakenError } from '../temporal/workflow-owner.ts';
import type { WorkflowOwner } from '../temporal/workflow-owner.ts';
import { withinLimit } from '../temporal/answer-limit.ts';
import { examineWorkflow } from '../temporal/workflow-condition.ts';
import { hasOlderWorkers } from '../store/workers.ts';
import { requireEntry } from './queries.ts';

/** `pending`: the signal was sent to Temporal, but no worker had processed it when the wait ended. */
export type ActionAnswer = 'done' | 'pending';

export interface Operator {
  pool: Pool;
  client: Client;
  taskQueue: string;
  /** How long to wait for a worker to process the request, in ms. Default 10 s. */
  waitMs?: number;
}

/**
 * Replays a dead letter: it gets new attempts. Works in every state of its workflow, even if it was terminated or deleted.
 *
 * @throws UnknownMessageError; NotADeadLetterError when the message has no open dead letter; InvalidMessageError when the
 *   message_id or the payload is invalid; RequestRefusedError when the payload fails the command's schema;
 *   WorkflowIdTakenError when another workflow in the namespace uses the message_id as its ID
 */
export function replay(
  operator: Operator,
  messageId: string,
  request: ReplayRequest = {},
): Promise<ActionAnswer> {
  if (request.payload !== undefined) checkJson(request.payload, 'payload', DEFAULT_MAX_PAYLOAD_BYTES);
  return act(operator, messageId, REPLAY_SIGNAL, request);
}

/**
 * Discards a dead letter. Its entry keeps the status DeadLetter and counts as resolved.
 *
 * @throws UnknownMessageError; NotADeadLetterError when the message has no open dead letter; InvalidMessageError when the
 *   message_id is invalid; RequestRefusedError when the actor or the reason cannot be stored; WorkflowIdTakenError when
 *   another workflow in the namespace uses the message_id as its ID
 */
export function discard(
  operator: Operator,
  messageId: string,
  request: DiscardRequest = {},
): Promise<ActionAnswer> {
  return act(operator, messageId, DISCARD_SIGNAL, request);
}

async function act(
  operator: Operator,
  messageId: string,
  signal: string,
  request: ReplayRequest,
): Promise<ActionAnswer> {
  const letter = await openDeadLetter(operator.pool, messageId);
  const owner = await ownerOf(operator);
  await refuseIfTaken(owner, letter);
  const refusedBefore = (await readRefusals(operator.client, messageId)).count;
  await signalCommand(owner, letter, signal, request);
  return waitUntilResolved(operator, letter, refusedBefore);
}

/** Returns the operator's client and task queue with what Postgres knows about this inbox and its workers. */
export async function ownerOf({ pool, client, taskQueue }: Operator): Promise<Signaller> {
  const { namespace } = client.options;
  const [inbox, hasOlder] = await Promise.all([
    inboxIdOf(pool),
    hasOlderWorkers(pool, { namespace, taskQueue }),
  ]);
  return { client, taskQueue, inbox, typedWorkflows: { usable: !hasOlder } };
}

/**
 * Call this before any change or signal.
 *
 * @throws WorkflowIdTakenError when a foreign workflow with this ID is running
 */
export async function refuseIfTaken(
  owner: WorkflowOwner,
  { messageId, commandType }: { messageId: string; commandType: string },
): Promise<void> {
  const { client } = owner;
  const describe = () => describeWorkflow(client, messageId);
  const found = await withinLimit(`the description of workflow ${messageId}`, describe, { client });
  if (!found?.isRunning || isOurs(found, (type) => isTypeOfCommand(type, commandType), owner)) return;
  throw workflowIdTakenError(found);
}

/** Explains why no worker has processed a request yet, and what to do. Never rejects. */
export async function whyPending(operator: Operator, messageId: string): Promise<string> {
  try {
    const entry = await requireEntry(operator.pool, messageId);
    const { kind, finding, remedy } = await examineWorkflow(await ownerOf(operator), entry);
    if (kind === 'none') return 'its workflow has ended in the meantime: check the message with `inbox show`';
    if (kind === 'running') return 'workers poll its task queue, and one of them will process it';
    return remedy === null ? finding : `${finding}: ${remedy}`;
  } catch (error) {
    return `the reason could not be read from Temporal (${messageOf(error)})`;
  }
}

/** Waits until Postgres shows the dead letter as resolved, the workflow refuses the request, or time is up. */
async function waitUntilResolved(
  operator: Operator,
  letter: DeadLetter,
  refusedBefore: number,
): Promise<ActionAnswer> {
  const deadline = Date.now() + (operator.waitMs ?? 10_000);
  for (;;) {
    const [now, refused] = await Promise.all([
      listDeadLetters(operator.pool, letter.messageId),
      readRefusals(operator.client, letter.messageId),
    ]);
    if (now.find(({ id }) => id === letter.id)?.resolution) return 'done';
    if (refused.count > refusedBefore) throw new RequestRefusedError(letter.messageId, refused.problem);
    if (Date.now() > deadline) return 'pending';
    await sleep(100);
  }
}

/** Reads how many requests the workflow has refused. Zero if it no longer exists, or if no worker answers the query. */
async function readRefusals(client: Client, messageId: string): Promise<{ count: number; problem: string }> {
  const handle = client.workflow.getHandle(messageId);
  const ask = client.withDeadline(Date.now() + 2_000, () => handle.query<StatusReport>(STATUS_QUERY));
  return ask.then(
    (report) => report.refusals,
    () => ({ count: 0, problem: '' }),
  );
}

/**
 * Returns the open dead letter of a message.
 *
 * @throws UnknownMessageError; NotADeadLetterError when the message has no open dead letter; InvalidMessageError when the
 *   message_id is invalid
 */
export async function openDeadLetter(pool: Pool, messageId: string): Promise<DeadLetter> {
  const entry = await requireEntry(pool, messageId);
  if (entry.status !== 'DeadLetter') {
    const what =
      entry.status === 'Failed' ? 'is Failed and will be retried automatically' : `is ${entry.status}`;
    throw new NotADeadLetterError(messageId, entry.status, `${what}, not a dead letter; nothing was changed`);
  }
  const letter = await findLastDeadLetter(pool, messageId);
  if (letter?.resolution !== null) {
    const by = `was discarded by ${letter?.resolvedBy} at ${letter?.resolvedAt?.toISOString()}`;
    throw new NotADeadLetterError(messageId, entry.status, `${by}; nothing was changed`);
  }
  return letter;
}
