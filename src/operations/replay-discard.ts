/**
 * What operators do to one dead letter: replay it, or give it up.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { Pool } from 'pg';
import { checkJson, DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import { messageOf } from '../platform/error-message.ts';
import { NotADeadLetterError, RequestRefusedError } from '../core/errors.ts';
import { DISCARD_SIGNAL, REPLAY_SIGNAL, STATUS_QUERY, WORKFLOW_TYPE } from '../core/protocol.ts';
import type { DiscardRequest, ReplayRequest, StatusReport } from '../core/protocol.ts';
import { inboxIdOf } from '../store/inbox-id.ts';
import { askCommand } from '../temporal/signal-workflow.ts';
import type { DeadLetter } from '../store/dead-letters.ts';
import { findLastDeadLetter, listDeadLetters } from '../store/dead-letters.ts';
import { describeWorkflow } from '../temporal/workflow-description.ts';
import { isOurs, takenBy } from '../temporal/workflow-owner.ts';
import type { WorkflowOwner } from '../temporal/workflow-owner.ts';
import { withinLimit } from '../platform/deadline.ts';
import { conditionOf } from '../temporal/workflow-condition.ts';
import { existing } from './queries.ts';

/** `pending`: the signal is with Temporal, but no worker had taken it up when the wait ended. */
export type ActionAnswer = 'done' | 'pending';

export interface Operator {
  pool: Pool;
  client: Client;
  taskQueue: string;
  /** How long to wait for a worker to take the request up, in ms. Default 10 s. */
  waitMs?: number;
}

/**
 * Gives a dead letter new attempts, whatever state its workflow is in: also one that was terminated or deleted.
 *
 * @throws UnknownMessageError, NotADeadLetterError; RequestRefusedError when the payload fails the command's schema;
 *   WorkflowIdTakenError when another workflow of the namespace has the message_id as its ID
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
 * Gives a dead letter up: its entry stays DeadLetter, resolved.
 *
 * @throws UnknownMessageError, NotADeadLetterError, WorkflowIdTakenError
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
  await refuseTaken(owner, messageId);
  const refusedBefore = (await refusals(operator.client, messageId)).count;
  await askCommand(owner, messageId, signal, request);
  return resolved(operator, letter, refusedBefore);
}

/** The operator as the owner of the workflows of this inbox. */
export async function ownerOf({ pool, client, taskQueue }: Operator): Promise<WorkflowOwner> {
  return { client, taskQueue, inbox: await inboxIdOf(pool) };
}

/**
 * Before anything is changed or asked.
 *
 * @throws WorkflowIdTakenError when a foreign workflow with this ID is running
 */
export async function refuseTaken(owner: WorkflowOwner, messageId: string): Promise<void> {
  const { client } = owner;
  const look = () => describeWorkflow(client, messageId);
  const found = await withinLimit(`whose workflow ${messageId} is`, look, { client });
  if (found?.isRunning && !isOurs(found, WORKFLOW_TYPE, owner)) throw takenBy(found);
}

/** Why a request was not taken up when the wait for it ended, and what to do. Never rejects. */
export async function whyPending(operator: Operator, messageId: string): Promise<string> {
  try {
    const { kind, finding, remedy } = await conditionOf(await ownerOf(operator), messageId);
    if (kind === 'none') return 'its workflow has ended in the meantime: look at the message again';
    if (kind === 'running') return 'workers poll its task queue, and one will take it up';
    return remedy === null ? finding : `${finding}: ${remedy}`;
  } catch (error) {
    return `Temporal could not be asked why (${messageOf(error)})`;
  }
}

/** Until Postgres says that the dead letter is resolved, or the workflow that the request was refused. */
async function resolved(
  operator: Operator,
  letter: DeadLetter,
  refusedBefore: number,
): Promise<ActionAnswer> {
  const deadline = Date.now() + (operator.waitMs ?? 10_000);
  for (;;) {
    const [now, refused] = await Promise.all([
      listDeadLetters(operator.pool, letter.messageId),
      refusals(operator.client, letter.messageId),
    ]);
    if (now.find(({ id }) => id === letter.id)?.resolution) return 'done';
    if (refused.count > refusedBefore) throw new RequestRefusedError(letter.messageId, refused.problem);
    if (Date.now() > deadline) return 'pending';
    await sleep(100);
  }
}

/** A workflow that is gone, or has no worker to answer, has refused nothing yet. */
async function refusals(client: Client, messageId: string): Promise<{ count: number; problem: string }> {
  const handle = client.workflow.getHandle(messageId);
  const ask = client.withDeadline(Date.now() + 2_000, () => handle.query<StatusReport>(STATUS_QUERY));
  return ask.then(
    (report) => report.refusals,
    () => ({ count: 0, problem: '' }),
  );
}

/** @throws UnknownMessageError, NotADeadLetterError, InvalidMessageError */
export async function openDeadLetter(pool: Pool, messageId: string): Promise<DeadLetter> {
  const entry = await existing(pool, messageId);
  if (entry.status !== 'DeadLetter') {
    const what =
      entry.status === 'Failed' ? 'is Failed and will be tried again by itself' : `is ${entry.status}`;
    throw new NotADeadLetterError(messageId, entry.status, `${what}, not a dead letter; nothing was changed`);
  }
  const letter = await findLastDeadLetter(pool, messageId);
  if (letter?.resolution !== null) {
    const by = `was discarded by ${letter?.resolvedBy} at ${letter?.resolvedAt?.toISOString()}`;
    throw new NotADeadLetterError(messageId, entry.status, `${by}; nothing was changed`);
  }
  return letter;
}
