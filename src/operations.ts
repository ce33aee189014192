/**
 * What operators do: look, replay, discard. The command line and any console call these; none has logic of its own.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { Pool } from 'pg';
import { checkJson, checkMessageId, DEFAULT_MAX_PAYLOAD_BYTES } from './envelope.ts';
import { NotADeadLetterError, RequestRefusedError, UnknownMessageError } from './errors.ts';
import { DISCARD_SIGNAL, REPLAY_SIGNAL, STATUS_QUERY, WORKFLOW_TYPE } from './protocol.ts';
import type { DiscardRequest, ReplayRequest, StatusReport } from './protocol.ts';
import type { DeadLetter } from './store/dead-letters.ts';
import { findLastDeadLetter, listDeadLetters } from './store/dead-letters.ts';
import type { Entry } from './store/entries.ts';
import { findEntry } from './store/entries.ts';
import type { Failure } from './store/failures.ts';
import { listFailures } from './store/failures.ts';
import type { AuditLine, EntryFilter, FailureCount, StatusCount } from './store/reports.ts';
import { countEntries, countOpenDeadLetters, listAudit, listEntries } from './store/reports.ts';

export interface EntryStory {
  entry: Entry;
  failures: Failure[];
  deadLetters: DeadLetter[];
  audit: AuditLine[];
}

export interface InboxStats {
  entries: StatusCount[];
  openDeadLetters: FailureCount[];
}

/** `pending`: the signal is with Temporal, but no worker had taken it up when the wait ended. */
export type ActionAnswer = 'done' | 'pending';

/** Entries, newest first. */
export function list(pool: Pool, filter: EntryFilter): Promise<Entry[]> {
  return listEntries(pool, filter);
}

/**
 * All that is known of one message.
 *
 * @throws UnknownMessageError, InvalidMessageError
 */
export async function show(pool: Pool, messageId: string): Promise<EntryStory> {
  const entry = await existing(pool, messageId);
  const [failures, deadLetters, audit] = await Promise.all([
    listFailures(pool, messageId),
    listDeadLetters(pool, messageId),
    listAudit(pool, messageId),
  ]);
  return { entry, failures, deadLetters, audit };
}

export async function stats(pool: Pool): Promise<InboxStats> {
  const [entries, openDeadLetters] = await Promise.all([countEntries(pool), countOpenDeadLetters(pool)]);
  return { entries, openDeadLetters };
}

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
  await operator.client.workflow.signalWithStart(WORKFLOW_TYPE, {
    workflowId: messageId,
    taskQueue: operator.taskQueue,
    signal,
    signalArgs: [request],
  });
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

async function openDeadLetter(pool: Pool, messageId: string): Promise<DeadLetter> {
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

async function existing(pool: Pool, messageId: string): Promise<Entry> {
  const entry = await findEntry(pool, checkMessageId(messageId));
  if (!entry) throw new UnknownMessageError(messageId);
  return entry;
}
