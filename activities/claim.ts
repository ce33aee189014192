/**
 * Claims an entry for an attempt, or finds out why it cannot be claimed.
 *
 * @module
 */
import type { Registry } from '../src/commands/registry.ts';
import { inboxFailure, splitErrorText } from '../src/attempts/failure-report.ts';
import type { Json } from '../src/core/json.ts';
import { FAILURE } from '../src/core/protocol.ts';
import type { RateLimitedWarning } from '../src/platform/rare-warning.ts';
import { findLastDeadLetter } from '../src/store/dead-letters.ts';
import { typeLabel } from '../src/telemetry/bounded-labels.ts';
import { findInstruments } from '../src/telemetry/instruments.ts';
import { withTraceContext } from '../src/telemetry/trace-context.ts';
import { startContext } from '../src/temporal/trace-header.ts';
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
import { isKnownCommandType } from '../src/store/command-types.ts';
import { findTaskQueuesOf } from '../src/store/workers.ts';
import {
  deadLetterFailure,
  factsOf,
  recordedFailure,
  refusedFailure,
  retryWhenDatabaseUnavailable,
  staleAttemptFailure,
  transientFailure,
  unavailable,
} from './temporal-failures.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { recordFailure } from '../src/attempts/record-failure.ts';

export interface ClaimDependencies extends ActivityDependencies {
  /** Logs that commands are waiting for a worker that knows their type. */
  unknownType: RateLimitedWarning;
}

/** The command of a workflow, as far as the workflow knows it. */
export interface WorkflowCommand {
  messageId: string;
  /** The command, if the workflow's argument contained it. */
  envelope: NewEntry | null;
  /** The workflow type, if it is the command type. */
  workflowType: string | null;
}

export type Claim = { kind: 'claimed'; entry: Entry } | { kind: 'completed'; result: Json };

/**
 * Claims the next attempt if it is due. A Failed entry that is not due is not claimed, no matter why the activity runs: for
 * a new workflow of a command that had failed before, because Temporal repeats the activity of a dead worker, or because
 * someone reset or unpaused the activity. The row holds the time of the next attempt, and the Web UI shows the wait.
 *
 * @throws ApplicationFailure if there is nothing to run: the command was refused, is a dead letter or not due, has a type
 *   that this worker doesn't know, or its previous attempt was lost
 */
export async function claim(dependencies: ClaimDependencies, given: WorkflowCommand): Promise<Claim> {
  const { claims, registry } = dependencies;
  const { messageId, envelope, workflowType } = given;
  if (envelope && !registry.has(envelope.commandType)) {
    if (workflowType !== null) await refuseUnknownType(dependencies, workflowType);
    // Stored, so that operators can see it waiting; a worker that knows its type will claim it.
    await retryWhenDatabaseUnavailable(
      insertPendingEntries(claims, [withStartContext(envelope)], NEW_ENTRY_WAIT_MS),
    );
    return explainNoClaim(dependencies, given);
  }
  // Never claims an entry whose type differs from the workflow's.
  const types = workflowType === null ? [...registry.keys()] : [workflowType];
  const isKnown = workflowType === null || registry.has(workflowType);
  const entry = await retryWhenDatabaseUnavailable(
    envelope
      ? insertAndClaimEntry(claims, withStartContext(envelope))
      : claimEntry(claims, messageId, { onlyDue: true, types: isKnown ? types : [] }),
  );
  return entry ? { kind: 'claimed', entry } : explainNoClaim(dependencies, given);
}

/** Stores the trace context of the client that started the workflow, unless the message has its own. */
function withStartContext(envelope: NewEntry): NewEntry {
  const context = startContext();
  return context ? { ...envelope, metadata: withTraceContext(envelope.metadata, context) } : envelope;
}

/**
 * Refuses a workflow whose type no worker has ever known, because it is a mistake. Commands of a known type wait until a
 * worker that knows the type is running.
 *
 * @throws ApplicationFailure of type UnknownCommandType
 */
async function refuseUnknownType({ claims, registry }: ClaimDependencies, type: string): Promise<void> {
  if (await retryWhenDatabaseUnavailable(isKnownCommandType(claims, type))) return;
  throw refusedFailure(
    FAILURE.unknownCommandType,
    `no worker has ever known the command type ${type}, so nothing was stored. If the type is wrong, correct it (this worker ` +
      `knows: ${typesOf(registry)}). Otherwise, start a worker that knows it, and then start this workflow again`,
  );
}

async function explainNoClaim(
  dependencies: ClaimDependencies,
  { messageId, envelope, workflowType }: WorkflowCommand,
): Promise<Claim> {
  const { claims } = dependencies;
  const entry = await retryWhenDatabaseUnavailable(findEntry(claims, messageId));
  if (!entry) {
    const without = workflowType === null ? 'an envelope' : 'a payload';
    const problem = `no entry has the message_id ${JSON.stringify(messageId)}, and the workflow was started without ${without}`;
    throw refusedFailure(
      FAILURE.invalidEnvelope,
      workflowType === null
        ? `${problem}: start it with {"commandType": …, "payload": …}`
        : `${problem}: start it with the payload`,
    );
  }
  if (workflowType !== null && entry.commandType !== workflowType) {
    throw refusedFailure(
      FAILURE.idempotencyConflict,
      `message_id ${JSON.stringify(messageId)} was accepted before as ${entry.commandType}; that command is unchanged, and a new ` +
        'command needs a new message_id',
    );
  }
  if (envelope && !(await retryWhenDatabaseUnavailable(hasFingerprint(claims, envelope)))) {
    const problem = `message_id ${JSON.stringify(messageId)} was accepted before with another command type or payload`;
    throw refusedFailure(
      FAILURE.idempotencyConflict,
      `${problem}; the first command is unchanged, and a new command needs a new message_id`,
    );
  }
  if (entry.status === 'Completed') return { kind: 'completed', result: entry.result };
  if (entry.status === 'DeadLetter') throw await deadLetterOrDiscarded(dependencies, entry);
  // Checked before the other statuses, because only a worker with this command knows its retry policy and timeout.
  if (!dependencies.registry.has(entry.commandType)) throw await unknownCommandType(dependencies, entry);
  switch (entry.status) {
    case 'Processing':
      throw await recordLostAttempt(dependencies, entry);
    case 'Failed':
      await throwUnlessDue(dependencies, messageId);
      throw staleAttemptFailure(entry.attempt);
    case 'Pending':
      // The entry became claimable between the two statements.
      throw staleAttemptFailure(entry.attempt);
  }
}

/**
 * If the next attempt is not due, throws the failure that is stored in the row. Temporal then waits as long as the row says,
 * and the Web UI shows the failure and the wait. The ordinary activity's first attempt calls this, so that from then on
 * Temporal's attempt count equals the row's.
 */
export async function throwUnlessDue(dependencies: ActivityDependencies, messageId: string): Promise<void> {
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

/** For an open dead letter, the workflow waits for a replay or discard; for a discarded one, it fails. */
async function deadLetterOrDiscarded(dependencies: ActivityDependencies, entry: Entry) {
  const letter = await retryWhenDatabaseUnavailable(findLastDeadLetter(dependencies.claims, entry.messageId));
  if (!letter) throw staleAttemptFailure(entry.attempt);
  if (letter.resolution === 'discarded') {
    const by = `discarded by ${letter.resolvedBy}`;
    return refusedFailure(FAILURE.discarded, letter.resolvedReason ? `${by}: ${letter.resolvedReason}` : by);
  }
  const facts = factsOf(dependencies, entry, dependencies.registry.get(entry.commandType));
  const { error, retryCount, failureGroup, reason } = letter;
  return deadLetterFailure(facts, splitErrorText(error), retryCount, failureGroup, reason);
}

function typesOf(registry: Registry): string {
  return [...registry.keys()].sort().join(', ') || 'none';
}

/** The retry delay if another worker of the task queue knows the type. Temporal may choose this worker again. */
const KNOWN_ELSEWHERE_RETRY_MS = 250;
/** The retry delay if no worker of the task queue knows the type. */
const UNKNOWN_RETRY_MS = 10_000;

/** Doesn't count an attempt: Temporal retries the activity until a worker that knows the command type gets it. */
async function unknownCommandType(
  { claims, registry, signaller, unknownType }: ClaimDependencies,
  entry: Entry,
) {
  const { messageId, commandType } = entry;
  const { taskQueue, client } = signaller;
  const queues = await retryWhenDatabaseUnavailable(
    findTaskQueuesOf(claims, commandType, client.options.namespace),
  );
  const here = `this worker has no command ${commandType}; it knows: ${typesOf(registry)}`;
  if (queues.includes(taskQueue)) {
    return unavailable(
      FAILURE.unknownCommandType,
      `${here}. Another worker of its task queue has it`,
      KNOWN_ELSEWHERE_RETRY_MS,
    );
  }
  const where =
    queues.length === 0
      ? 'No running worker has it: start one that does'
      : `Only workers on task queue ${queues.join(', ')} have it: start the workflow there, or send the command through Postgres`;
  unknownType.happened({ messageId, commandType, taskQueue });
  return unavailable(FAILURE.unknownCommandType, `${here}. ${where}`, UNKNOWN_RETRY_MS);
}

/**
 * Records an attempt whose worker died as a failed attempt. The failure group of the dead letter depends on this message, so
 * a new wording would split existing groups.
 */
async function recordLostAttempt(dependencies: ActivityDependencies, entry: Entry) {
  const message = `attempt ${entry.attempt} was started and never ended: its worker was killed, or could not report`;
  const report = inboxFailure(FAILURE.workerLost, message, true);
  const recorded = await retryWhenDatabaseUnavailable(recordFailure(dependencies, entry, report));
  if (!recorded) return staleAttemptFailure(entry.attempt);
  // The process of the attempt could not count it.
  findInstruments()?.attempts.add(1, { type: typeLabel(entry.commandType), outcome: recorded.kind });
  return recordedFailure(dependencies, report, recorded);
}
