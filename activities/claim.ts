/**
 * Starts an attempt, or finds out why there is none to start.
 *
 * @module
 */
import { inboxFailure, splitErrorText } from '../src/attempts/failure-report.ts';
import type { Json } from '../src/core/json.ts';
import { FAILURE } from '../src/core/protocol.ts';
import type { RareWarning } from '../src/platform/rare-warning.ts';
import { findLastDeadLetter } from '../src/store/dead-letters.ts';
import type { Entry, NewEntry } from '../src/store/entries.ts';
import {
  claimEntry,
  findEntry,
  findWaitingEntry,
  hasFingerprint,
  insertAndClaimEntry,
  NEW_ENTRY_WAIT_MS,
} from '../src/store/entries.ts';
import { insertPendingEntries } from '../src/store/inserts.ts';
import { findTaskQueuesOf } from '../src/store/workers.ts';
import {
  deadLetterFailure,
  factsOf,
  overtaken,
  retryWhenDatabaseUnavailable,
  recordedFailure,
  refusal,
  transientFailure,
  unavailable,
} from './temporal-failures.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { recordFailure } from '../src/attempts/record-failure.ts';

export interface ClaimDependencies extends ActivityDependencies {
  /** Logs that commands wait for a worker that knows their type. */
  unknownType: RareWarning;
}

export type Claim = { kind: 'claimed'; entry: Entry } | { kind: 'completed'; result: Json };

/**
 * Starts the next attempt if it is due. A Failed entry whose time has not come is left alone, whatever asks for the attempt:
 * a workflow that was started for a command which had failed before, an activity that Temporal starts again because its
 * worker died, or one that was reset or unpaused. The row says when the next attempt is due, and the Web UI shows the wait.
 *
 * @throws ApplicationFailure when nothing is to be run: refused, dead already, not due, or an earlier attempt turned out
 *   lost.
 */
export async function claim(
  dependencies: ClaimDependencies,
  messageId: string,
  envelope: NewEntry | null,
): Promise<Claim> {
  const { claims, registry } = dependencies;
  if (envelope && !registry.has(envelope.commandType)) {
    // Stored, so that it can be seen waiting; a worker that knows its type claims it.
    await retryWhenDatabaseUnavailable(insertPendingEntries(claims, [envelope], 'own', NEW_ENTRY_WAIT_MS));
    return explain(dependencies, messageId, envelope);
  }
  const entry = await retryWhenDatabaseUnavailable(
    envelope
      ? insertAndClaimEntry(claims, envelope)
      : claimEntry(claims, messageId, { onlyDue: true, types: [...registry.keys()] }),
  );
  return entry ? { kind: 'claimed', entry } : explain(dependencies, messageId, envelope);
}

async function explain(
  dependencies: ClaimDependencies,
  messageId: string,
  envelope: NewEntry | null,
): Promise<Claim> {
  const { claims } = dependencies;
  const entry = await retryWhenDatabaseUnavailable(findEntry(claims, messageId));
  if (!entry) {
    const problem = `no entry has the message_id ${JSON.stringify(messageId)}, and the workflow came without an envelope`;
    throw refusal(FAILURE.invalidEnvelope, `${problem}: start it with {"commandType": …, "payload": …}`);
  }
  if (envelope && !(await retryWhenDatabaseUnavailable(hasFingerprint(claims, envelope)))) {
    const problem = `message_id ${JSON.stringify(messageId)} was accepted before with another command type or payload`;
    throw refusal(
      FAILURE.idempotencyConflict,
      `${problem}; the first one stands, a new command needs a new message_id`,
    );
  }
  if (entry.status === 'Completed') return { kind: 'completed', result: entry.result };
  if (entry.status === 'DeadLetter') throw await deadAlready(dependencies, entry);
  // Before anything is decided: retry policy and timeout are known only where the command is.
  if (!dependencies.registry.has(entry.commandType)) throw await unknownHere(dependencies, entry);
  switch (entry.status) {
    case 'Processing':
      throw await lostAttempt(dependencies, entry);
    case 'Failed':
      await carryOver(dependencies, messageId);
      throw overtaken(entry.attempt);
    case 'Pending':
      // It became claimable between the two statements.
      throw overtaken(entry.attempt);
  }
}

/**
 * When the time of the next attempt has not come, fails with the failure that is in the row, so that Temporal waits as
 * long as the row says and the Web UI shows both. For the first try of the ordinary activity, from where on Temporal's
 * count of tries is that of the row.
 */
export async function carryOver(dependencies: ActivityDependencies, messageId: string): Promise<void> {
  const entry = await retryWhenDatabaseUnavailable(findWaitingEntry(dependencies.records, messageId));
  if (!entry) return;
  const facts = factsOf(dependencies, entry, dependencies.registry.get(entry.commandType));
  throw transientFailure(
    facts,
    splitErrorText(entry.error),
    entry.retryCount,
    entry.nextRetryAt,
    entry.waitMs,
  );
}

/** The workflow takes up its waiting for an open dead letter; a discarded one is over. */
async function deadAlready(dependencies: ActivityDependencies, entry: Entry) {
  const letter = await retryWhenDatabaseUnavailable(findLastDeadLetter(dependencies.claims, entry.messageId));
  if (!letter) throw overtaken(entry.attempt);
  if (letter.resolution === 'discarded') {
    const by = `discarded by ${letter.resolvedBy}`;
    return refusal(FAILURE.discarded, letter.resolvedReason ? `${by}: ${letter.resolvedReason}` : by);
  }
  const facts = factsOf(dependencies, entry, dependencies.registry.get(entry.commandType));
  const { error, retryCount, failureGroup, reason } = letter;
  return deadLetterFailure(facts, splitErrorText(error), retryCount, failureGroup, reason);
}

/** How soon a worker of the task queue is asked again while one of them knows the type: Temporal may choose this one again. */
const ASK_NEXT_MS = 250;
/** How soon while none of them knows it. */
const ASK_LATER_MS = 10_000;

/** No attempt is used up: the activity is tried again until a worker that knows the command type takes it. */
async function unknownHere({ claims, registry, signaller, unknownType }: ClaimDependencies, entry: Entry) {
  const { messageId, commandType } = entry;
  const { taskQueue, client } = signaller;
  const queues = await retryWhenDatabaseUnavailable(
    findTaskQueuesOf(claims, commandType, client.options.namespace),
  );
  const known = [...registry.keys()].sort().join(', ') || 'none';
  const here = `this worker has no command ${commandType}; it knows: ${known}`;
  if (queues.includes(taskQueue)) {
    return unavailable(
      FAILURE.unknownCommandType,
      `${here}. Another worker of its task queue does`,
      ASK_NEXT_MS,
    );
  }
  const where =
    queues.length === 0
      ? 'No running worker does: start one'
      : `Only workers on task queue ${queues.join(', ')} do: start the workflow there, or send the command through Postgres`;
  unknownType.happened({ messageId, commandType, taskQueue });
  return unavailable(FAILURE.unknownCommandType, `${here}. ${where}`, ASK_LATER_MS);
}

/** Started and never ended: its worker died. It was a failed attempt like any other, and uses up a try. */
async function lostAttempt(dependencies: ActivityDependencies, entry: Entry) {
  const message = `attempt ${entry.attempt} was started and never ended: its worker was killed, or could not report`;
  const report = inboxFailure(FAILURE.workerLost, message, true);
  const recorded = await retryWhenDatabaseUnavailable(recordFailure(dependencies, entry, report));
  return recorded ? recordedFailure(dependencies, report, recorded) : overtaken(entry.attempt);
}
