/**
 * One attempt of a command, from claim to commit or recorded failure. The same code for the local activity of the
 * first attempt and the ordinary one of the retries.
 *
 * @module
 */
import { activityInfo, Context } from '@temporalio/activity';
import { crashPoint } from '../src/platform/crash-points.ts';
import { acquire } from '../src/platform/postgres.ts';
import { parseEnvelope } from '../src/commands/message-validation.ts';
import { InvalidMessageError } from '../src/core/errors.ts';
import type { AttemptInput, AttemptOutcome } from '../src/core/activity-messages.ts';
import { FAILURE } from '../src/core/protocol.ts';
import { RareWarning } from '../src/platform/rare-warning.ts';
import { findEntry } from '../src/store/entries.ts';
import type { Entry, NewEntry } from '../src/store/entries.ts';
import {
  factsOf,
  interrupted,
  overtaken,
  retryWhenDatabaseUnavailable,
  recordedFailure,
  refusal,
} from './temporal-failures.ts';
import { carryOver, claim } from './claim.ts';
import type { Claim, ClaimDependencies } from './claim.ts';
import type { AttemptKind } from './attempt-slots.ts';
import type { ActivityDependencies, AttemptActivityDependencies } from './dependencies.ts';
import { claimsUndone, giveBack } from '../src/attempts/undo-claim.ts';
import { withHeartbeat } from './heartbeat.ts';
import { performAttempt, reportOf, tooManyInterruptions } from '../src/attempts/run-attempt.ts';
import type { Interrupted } from '../src/attempts/run-attempt.ts';
import { recordFailure } from '../src/attempts/record-failure.ts';
import { StaleAttemptError } from '../src/attempts/handler-transaction.ts';

export function createAttempt(given: AttemptActivityDependencies) {
  const unknownType = new RareWarning(given.log, 'commands wait for a worker that knows their type');
  const dependencies = { ...given, unknownType };
  // A worker without long-running commands need not ask each message whether it is one.
  const hasLongRunning = [...dependencies.registry.values()].some((command) => command.longRunning);
  return async function attempt(input: AttemptInput): Promise<AttemptOutcome> {
    const messageId = activityInfo().workflowExecution!.workflowId;
    const envelope = readEnvelope(messageId, input, dependencies.maxPayloadBytes);
    if (input.lane === 'first') {
      const longRunning = hasLongRunning ? await findLongRunning(dependencies, messageId, envelope) : null;
      return longRunning ?? inTurn(dependencies, messageId, envelope, input);
    }
    return withHeartbeat(async () => {
      if (input.lane === 'retry' && activityInfo().attempt === 1) await carryOver(dependencies, messageId);
      return inTurn(dependencies, messageId, envelope, input);
    });
  };
}

function readEnvelope(
  messageId: string,
  { envelope, problem }: AttemptInput,
  maxPayloadBytes: number,
): NewEntry | null {
  if (envelope === undefined) return null;
  if (problem !== undefined) throw refusal(FAILURE.invalidEnvelope, `the argument ${problem}`);
  try {
    return parseEnvelope(messageId, envelope, maxPayloadBytes);
  } catch (error) {
    if (error instanceof InvalidMessageError) throw refusal(FAILURE.invalidEnvelope, error.message);
    throw error;
  }
}

/** Where the type is only in the row, it is looked up. */
async function findLongRunning(
  dependencies: ActivityDependencies,
  messageId: string,
  envelope: NewEntry | null,
): Promise<AttemptOutcome | null> {
  const { registry, records } = dependencies;
  const entry = envelope
    ? { ...envelope, generation: 0 }
    : await retryWhenDatabaseUnavailable(findEntry(records, messageId));
  const command = entry ? registry.get(entry.commandType) : undefined;
  if (!entry || !command?.longRunning) return null;
  return { kind: 'longRunning', facts: factsOf(dependencies, entry, command) };
}

/** All types that this worker does not know count as one type, because a sender can invent any number of them. */
const UNKNOWN_TYPE = 'an unknown command type';

/** Runs the attempt when its command type has a slot. If the relay of this process started the workflow, it took the slot. */
async function inTurn(
  dependencies: AttemptActivityDependencies & ClaimDependencies,
  messageId: string,
  envelope: NewEntry | null,
  { lane, commandType }: AttemptInput,
): Promise<AttemptOutcome> {
  const { slots, registry, attemptBegan, records } = dependencies;
  const attempt = () => attemptOnce(dependencies, messageId, envelope);
  if (lane === 'first' && attemptBegan?.(messageId)) return attempt();
  const said = commandType ?? envelope?.commandType;
  const type = said ?? (await retryWhenDatabaseUnavailable(findEntry(records, messageId)))?.commandType;
  const known = type !== undefined && registry.has(type) ? type : UNKNOWN_TYPE;
  return slots.run(known, kindOf(lane, commandType), attempt);
}

/** A workflow passes the type on once an attempt has told it: without a type, a retry is a first attempt that was put off. */
function kindOf(lane: AttemptInput['lane'], commandType: string | undefined): AttemptKind {
  if (lane === 'first') return 'first';
  return lane === 'retry' && commandType === undefined ? 'late' : 'other';
}

async function attemptOnce(
  dependencies: ClaimDependencies,
  messageId: string,
  envelope: NewEntry | null,
): Promise<AttemptOutcome> {
  // Before the claim: an attempt that cannot have a connection must not be counted as one.
  const client = await retryWhenDatabaseUnavailable(acquire(dependencies.attempts));
  let claimed: Claim;
  try {
    await claimsUndone(dependencies.records, messageId);
    await crashPoint('before-claim', messageId);
    claimed = await claim(dependencies, messageId, envelope);
  } catch (error) {
    client.release();
    throw error;
  }
  if (claimed.kind === 'completed') {
    client.release();
    return claimed;
  }
  const { entry } = claimed;
  const performed = await performAttempt(dependencies, entry, client, Context.current());
  if (performed.kind === 'completed') return performed;
  if (performed.kind === 'interrupted') return settleInterruption(dependencies, entry, performed);
  if (performed.cancelled) throw performed.error;
  return settleFailure(dependencies, entry, performed.error);
}

/** Undoes the claim, so that no try is used up; one interruption too many is a failure like any other. */
async function settleInterruption(
  dependencies: ActivityDependencies,
  entry: Entry,
  { error, connectionFailed }: Interrupted,
): Promise<AttemptOutcome> {
  // This workflow repeats it; a relay need not look.
  const how = { interrupted: connectionFailed, takenAgoMs: 0 };
  const givenBack = await giveBack(dependencies, entry, error, how);
  if (givenBack === 'refused') return settleFailure(dependencies, entry, tooManyInterruptions(error));
  throw interrupted(error);
}

/** Writes the failure down and tells Temporal; a commit whose answer was lost turns out to have been none. */
async function settleFailure(
  dependencies: ActivityDependencies,
  entry: Entry,
  error: unknown,
): Promise<AttemptOutcome> {
  if (!(error instanceof StaleAttemptError)) {
    await crashPoint('before-failure-recorded', entry.messageId);
    const report = reportOf(error);
    const recorded = await retryWhenDatabaseUnavailable(recordFailure(dependencies, entry, report));
    await crashPoint('after-failure-recorded', entry.messageId);
    if (recorded) throw recordedFailure(dependencies, report, recorded);
  }
  const current = await retryWhenDatabaseUnavailable(findEntry(dependencies.records, entry.messageId));
  if (current?.status === 'Completed') return { kind: 'completed', result: current.result };
  throw overtaken(entry.attempt);
}
