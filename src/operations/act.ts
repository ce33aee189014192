/**
 * What operators do to one dead letter: replay it, or give it up.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { Pool } from 'pg';
import { checkJson, DEFAULT_MAX_PAYLOAD_BYTES } from '../envelope.ts';
import { NotADeadLetterError, RequestRefusedError } from '../errors.ts';
import { DISCARD_SIGNAL, REPLAY_SIGNAL, STATUS_QUERY } from '../protocol.ts';
import type { DiscardRequest, ReplayRequest, StatusReport } from '../protocol.ts';
import { askCommand } from '../requests.ts';
import type { DeadLetter } from '../store/dead-letters.ts';
import { findLastDeadLetter, listDeadLetters } from '../store/dead-letters.ts';
import { existing } from './look.ts';

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
 * @throws UnknownMessageError, NotADeadLetterError; RequestRefusedError when the payload fails the command's schema
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
 * @throws UnknownMessageError, NotADeadLetterError
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
  const refusedBefore = (await refusals(operator.client, messageId)).count;
  await askCommand(operator, messageId, signal, request);
  return resolved(operator, letter, refusedBefore);
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
