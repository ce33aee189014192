/**
 * One attempt of a command, from the claim to the commit or the recorded failure. The local activity of the first attempt
 * and the ordinary activity of the retries share this code.
 *
 * @module
 */
import { activityInfo, Context } from '@temporalio/activity';
import { crashPoint } from '../src/platform/crash-points.ts';
import { acquire } from '../src/platform/postgres.ts';
import { parseEnvelope } from '../src/commands/message-validation.ts';
import { InvalidMessageError } from '../src/core/errors.ts';
import type { AttemptInput, AttemptOutcome } from '../src/core/activity-messages.ts';
import { FAILURE, WORKFLOW_TYPE } from '../src/core/protocol.ts';
import { RateLimitedWarning } from '../src/platform/rare-warning.ts';
import { findEntry } from '../src/store/entries.ts';
import type { Entry, NewEntry } from '../src/store/entries.ts';
import {
  factsOf,
  interruptedFailure,
  recordedFailure,
  refusedFailure,
  retryWhenDatabaseUnavailable,
  staleAttemptFailure,
} from './temporal-failures.ts';
import { claim, throwUnlessDue } from './claim.ts';
import type { Claim, ClaimDependencies, WorkflowCommand } from './claim.ts';
import type { AttemptKind } from './attempt-slots.ts';
import type { ActivityDependencies, AttemptActivityDependencies } from './dependencies.ts';
import { waitForUndo, undoClaim } from '../src/attempts/undo-claim.ts';
import { withHeartbeat } from './heartbeat.ts';
import { performAttempt, reportOf, tooManyInterruptions } from '../src/attempts/run-attempt.ts';
import type { Interrupted } from '../src/attempts/run-attempt.ts';
import { recordFailure } from '../src/attempts/record-failure.ts';
import { endFailed, traceAttempt } from '../src/attempts/trace-attempt.ts';
import { errorTypeOf } from '../src/telemetry/spans.ts';
import type { TracedAttempt } from '../src/telemetry/traced-attempt.ts';
import { StaleAttemptError } from '../src/attempts/handler-transaction.ts';

export function createAttempt(attemptDependencies: AttemptActivityDependencies) {
  const unknownType = new RateLimitedWarning(
    attemptDependencies.log,
    'commands are waiting for a worker that knows their type',
  );
  const dependencies = { ...attemptDependencies, unknownType };
  // Without long-running commands, no message needs the check.
  const hasLongRunning = [...dependencies.registry.values()].some((command) => command.longRunning);
  return async function attempt(input: AttemptInput): Promise<AttemptOutcome> {
    const given = readCommand(input, dependencies.maxPayloadBytes);
    if (input.lane === 'first') {
      const longRunning = hasLongRunning ? await findLongRunning(dependencies, given) : null;
      return longRunning ?? runInSlot(dependencies, given, input);
    }
    return withHeartbeat(async () => {
      if (input.lane === 'retry' && activityInfo().attempt === 1)
        await throwUnlessDue(dependencies, given.messageId);
      return runInSlot(dependencies, given, input);
    });
  };
}

function readCommand(input: AttemptInput, maxPayloadBytes: number): WorkflowCommand {
  const { workflowExecution, workflowType } = activityInfo();
  const messageId = workflowExecution!.workflowId;
  return {
    messageId,
    envelope: readEnvelope(messageId, input, maxPayloadBytes),
    workflowType: workflowType === WORKFLOW_TYPE ? null : workflowType!,
  };
}

function readEnvelope(
  messageId: string,
  { envelope, problem }: AttemptInput,
  maxPayloadBytes: number,
): NewEntry | null {
  if (envelope === undefined) return null;
  if (problem !== undefined) throw refusedFailure(FAILURE.invalidEnvelope, `the argument ${problem}`);
  try {
    return parseEnvelope(messageId, envelope, maxPayloadBytes);
  } catch (error) {
    if (error instanceof InvalidMessageError) throw refusedFailure(FAILURE.invalidEnvelope, error.message);
    throw error;
  }
}

/** Returns null unless the command is long-running. Without an envelope, reads the command type from the row. */
async function findLongRunning(
  dependencies: ActivityDependencies,
  { messageId, envelope }: WorkflowCommand,
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

/**
 * Runs the attempt once its command type has a slot. If the relay of this process started the workflow, the relay has
 * already taken the slot.
 */
async function runInSlot(
  dependencies: AttemptActivityDependencies & ClaimDependencies,
  given: WorkflowCommand,
  { lane, commandType }: AttemptInput,
): Promise<AttemptOutcome> {
  const { slots, registry, attemptBegan, records } = dependencies;
  const { messageId, envelope, workflowType } = given;
  const attempt = () => attemptOnce(dependencies, given);
  if (lane === 'first' && attemptBegan?.(messageId)) return attempt();
  const givenType = commandType ?? envelope?.commandType ?? workflowType;
  const type = givenType ?? (await retryWhenDatabaseUnavailable(findEntry(records, messageId)))?.commandType;
  const slotType = type !== undefined && registry.has(type) ? type : UNKNOWN_TYPE;
  return slots.run(slotType, kindOf(lane, commandType), attempt);
}

/** A workflow passes the type once an attempt has reported it, so a retry without a type is a deferred first attempt. */
function kindOf(lane: AttemptInput['lane'], commandType: string | undefined): AttemptKind {
  if (lane === 'first') return 'first';
  return lane === 'retry' && commandType === undefined ? 'late' : 'other';
}

async function attemptOnce(dependencies: ClaimDependencies, given: WorkflowCommand): Promise<AttemptOutcome> {
  const { messageId } = given;
  // Connects before the claim: an attempt that gets no connection must not be counted.
  const client = await retryWhenDatabaseUnavailable(acquire(dependencies.attempts));
  let claimed: Claim;
  try {
    await waitForUndo(dependencies.records, messageId);
    await crashPoint('before-claim', messageId);
    claimed = await claim(dependencies, given);
  } catch (error) {
    client.release();
    throw error;
  }
  if (claimed.kind === 'completed') {
    client.release();
    return claimed;
  }
  const { entry } = claimed;
  return traceAttempt(dependencies, entry, 'workflow', async (traced) => {
    const performed = await performAttempt(dependencies, entry, client, Context.current());
    if (performed.kind === 'completed') {
      traced.end({ outcome: 'completed' });
      return performed;
    }
    if (performed.kind === 'interrupted') return settleInterruption(dependencies, entry, performed, traced);
    if (!performed.cancelled) return settleFailure(dependencies, entry, performed.error, traced);
    traced.end({ outcome: 'cancelled' });
    throw performed.error;
  });
}

/**
 * Undoes the claim, so that the attempt isn't counted. After too many interruptions, records an ordinary failure instead.
 */
async function settleInterruption(
  dependencies: ActivityDependencies,
  entry: Entry,
  { error, connectionFailed }: Interrupted,
  traced: TracedAttempt,
): Promise<AttemptOutcome> {
  // This workflow repeats the attempt, so no relay needs to.
  const how = { interrupted: connectionFailed, takenAgoMs: 0 };
  const undone = await undoClaim(dependencies, entry, error, how);
  if (undone === 'refused') return settleFailure(dependencies, entry, tooManyInterruptions(error), traced);
  traced.end({ outcome: 'interrupted', errorType: errorTypeOf(error) });
  throw interruptedFailure(error);
}

/** Records the failure and reports it to Temporal. If only the answer to the COMMIT was lost, returns the stored result. */
async function settleFailure(
  dependencies: ActivityDependencies,
  entry: Entry,
  error: unknown,
  traced: TracedAttempt,
): Promise<AttemptOutcome> {
  if (!(error instanceof StaleAttemptError)) {
    await crashPoint('before-failure-recorded', entry.messageId);
    const report = reportOf(error);
    const recorded = await retryWhenDatabaseUnavailable(recordFailure(dependencies, entry, report));
    await crashPoint('after-failure-recorded', entry.messageId);
    endFailed(dependencies, traced, report, recorded);
    if (recorded) throw recordedFailure(dependencies, report, recorded);
  }
  const current = await retryWhenDatabaseUnavailable(findEntry(dependencies.records, entry.messageId));
  if (current?.status === 'Completed') return { kind: 'completed', result: current.result };
  throw staleAttemptFailure(entry.attempt);
}
