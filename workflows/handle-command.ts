/**
 * Drives one command: the first attempt, the retries, and the wait for an operator once it is a dead letter. Postgres is the
 * source of truth about the command.
 *
 * Must stay deterministic, because Temporal replays histories that are months old: changing the order of its steps needs
 * `patched()`, and a stored history in test/replay.
 *
 * @module
 */
import {
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  condition,
  isCancellation,
  patched,
  setHandler,
  TemporalFailure,
  workflowInfo,
} from '@temporalio/workflow';
import { MAX_TIME_LENGTH, readCommandArguments } from '../src/core/command-arguments.ts';
import { envelopeProblem } from '../src/core/envelope-shape.ts';
import type { Json } from '../src/core/json.ts';
import { summaryLine } from '../src/core/markdown.ts';
import type {
  AttemptInput,
  AttemptOutcome,
  CommandFacts,
  CommandRecord,
  OperatorOutcome,
} from '../src/core/activity-messages.ts';
import { FAILURE } from '../src/core/protocol.ts';
import type { CompletedEnvelope, ReplayRequest } from '../src/core/protocol.ts';
import { cutText } from '../src/core/text.ts';
import {
  attemptActivities,
  firstAttemptActivities,
  operatorActivities,
  origin,
  recordActivities,
} from './activity-options.ts';
import { readFailure, serializationProblem } from './failure.ts';
import type { DeadOutcome, RetryOutcome } from './failure.ts';
import { discardSignal, replaySignal, statusQuery } from './signals-and-queries.ts';
import { OperatorRequests } from './operator-requests.ts';
import { inexact, undecodable } from './payload-converter.ts';
import { CommandDisplay } from './story.ts';

/**
 * The workflow of every command type: Temporal runs it for each workflow type that has no function of its own.
 *
 * @param args - the payload, if the command is not in Postgres yet, and optionally what comes with it, such as
 *   `{ correlationId }`. They come from outside and can be anything
 * @returns the handler's result
 * @throws ApplicationFailure of type InvalidEnvelope, IdempotencyConflict, UnknownCommandType or Discarded
 */
export function handleTypedCommand(...args: unknown[]): Promise<Json> {
  const { workflowType } = workflowInfo();
  return runCommand(workflowType, () => {
    for (const argument of args) rejectUndecodable(argument);
    for (const argument of args) rejectInexact(argument);
    const read = readCommandArguments(workflowType, args);
    if (read.kind === 'invalid') throw invalidEnvelope(read.problem);
    if (read.kind === 'message') return { envelope: read.envelope };
    return read.isCompleted ? { record: readRecord } : {};
  });
}

/**
 * The workflow of commands that are started with an envelope, and of all commands of earlier releases.
 *
 * @param envelope - the command, if it is not in Postgres yet, or its result, if it is Completed. It comes from outside and
 *   can be anything
 * @returns the handler's result
 * @throws ApplicationFailure of type InvalidEnvelope, IdempotencyConflict or Discarded
 */
export function handleCommand(envelope?: unknown): Promise<Json> {
  const type = (envelope as { commandType?: unknown } | null | undefined)?.commandType;
  return runCommand(typeof type === 'string' ? type : null, () => {
    rejectUndecodable(envelope);
    const claimedRecord = recordOf(envelope);
    if (claimedRecord) return { record: () => verifiedRecord(claimedRecord) };
    rejectInvalid(envelope);
    return { envelope };
  });
}

/** What the arguments of either workflow say. Nothing, if the entry is in Postgres. */
interface CommandStart {
  /** The command. It may contain inexact numbers, which the first attempt then rejects. */
  envelope?: unknown;
  /** Reads the result of a command that is said to have completed. */
  record?: () => Promise<CommandRecord | null>;
}

/** @param read - reads the arguments; what it throws fails the workflow */
async function runCommand(commandType: string | null, read: () => CommandStart): Promise<Json> {
  const requests = new OperatorRequests();
  const display = new CommandDisplay(workflowInfo().workflowId, commandType);
  setHandler(replaySignal, (request) => requests.add({ kind: 'replay', request }));
  setHandler(discardSignal, (request) => requests.add({ kind: 'discard', request }));
  setHandler(statusQuery, () => display.report());
  const start = read();
  const recorded = await start.record?.();
  if (recorded) {
    display.completedEarlier(recorded.at);
    return recorded.result;
  }
  // If the argument claims a completion that Postgres doesn't confirm, only the entry counts, as if there were no argument.
  const { envelope } = start;

  let campaignFacts: CommandFacts | null = null;
  for (;;) {
    const outcome = await runUntilSettled(envelope, display, requests.replayed, campaignFacts);
    if (outcome.kind === 'completed') {
      display.completed();
      return outcome.result;
    }
    requests.endReplay();
    display.deadLettered(outcome);
    campaignFacts = await waitForReplay(outcome, display, requests);
    display.replayed();
  }
}

function invalidEnvelope(problem: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(problem, FAILURE.invalidEnvelope);
}

function rejectUndecodable(argument: unknown): void {
  const problem = undecodable(argument);
  if (problem !== null) throw invalidEnvelope(`the argument ${problem}`);
}

function rejectInexact(argument: unknown): void {
  const problem = inexact(argument);
  if (problem !== null) throw invalidEnvelope(`the argument ${problem}`);
}

/** Workflows of earlier releases left this check to the first attempt. Only rejected workflows get the patch marker. */
const REFUSE_PATCH = 'refuse-invalid-envelope';

/** Rejects an invalid envelope before any activity runs. Inexact numbers are left to the activity, which names the place. */
function rejectInvalid(envelope: unknown): void {
  // An empty object stands for a number: see payload-converter.ts.
  const isEmpty = Object.keys(envelope ?? {}).length === 0;
  if (envelope === undefined || (inexact(envelope) !== null && !isEmpty)) return;
  const problem = envelopeProblem(envelope);
  if (problem === null || !patched(REFUSE_PATCH)) return;
  rejectInexact(envelope);
  throw invalidEnvelope(`${problem.field} ${problem.problem}`);
}

/** Any client that may start workflows can put any result into the argument. Workflows of earlier releases trusted it. */
const VERIFY_PATCH = 'verify-record';

async function verifiedRecord(claimedRecord: CompletedEnvelope['completed']): Promise<CommandRecord | null> {
  return patched(VERIFY_PATCH) ? readRecord() : claimedRecord;
}

/** Returns the result that Postgres has stored. Null if the command has not completed, or Postgres could not be queried. */
async function readRecord(): Promise<CommandRecord | null> {
  try {
    return await recordActivities().readRecord(origin());
  } catch {
    return null;
  }
}

/** Returns null if the argument is not the record of a completed command. */
function recordOf(envelope: unknown): CompletedEnvelope['completed'] | null {
  const { completed, payload } = (envelope ?? {}) as Partial<CompletedEnvelope & { payload: unknown }>;
  if (payload !== undefined || typeof completed?.at !== 'string' || completed.result === undefined)
    return null;
  if (completed.at.length <= MAX_TIME_LENGTH && isSerializable(completed.result)) return completed;
  throw invalidEnvelope(
    'the argument is not a valid record of a completed command: its time or result is unusable',
  );
}

/** JSON that is nested too deeply can be parsed but not serialized. Returning it would fail every workflow task. */
function isSerializable(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return true;
  } catch {
    return false;
  }
}

type SettledOutcome = { kind: 'completed'; result: Json } | DeadOutcome;

/** Runs attempts until the command is completed or a dead letter. Canceling the workflow makes it a dead letter. */
async function runUntilSettled(
  envelope: unknown,
  display: CommandDisplay,
  replayed: boolean,
  campaignFacts: CommandFacts | null,
): Promise<SettledOutcome> {
  // After a replay the entry is in Postgres, and its payload may differ from the envelope's.
  const input = replayed || envelope === undefined ? {} : argumentOf(envelope);
  try {
    return await (campaignFacts ? replayForCampaign(campaignFacts, display) : runAttempts(input, display));
  } catch (error) {
    if (!isCancellation(error)) throw error;
    const outcome = await CancellationScope.nonCancellable(() =>
      readOutcome(operatorActivities('the workflow was canceled').deadLetterCancelled(origin())),
    );
    if (outcome?.kind === 'completed') return outcome;
    if (outcome?.kind === 'dead') display.deadLettered(outcome);
    throw error;
  }
}

type Argument = Pick<AttemptInput, 'envelope' | 'problem'>;

function argumentOf(envelope: unknown): Argument {
  const problem = inexact(envelope);
  return problem === null ? { envelope } : { envelope, problem };
}

async function runAttempts(input: Argument, display: CommandDisplay): Promise<SettledOutcome> {
  const activities = firstAttemptActivities(display.firstSummary());
  const first = await readOutcome(activities.firstAttempt({ ...input, ...origin(), lane: 'first' }));
  if (first.kind === 'completed' || first.kind === 'dead') return first;
  return first.kind === 'longRunning'
    ? runLongRunning(first.facts, input, display)
    : retryWithBackoff(first, input, display);
}

/**
 * Replays for a campaign as an ordinary activity with low priority, so that live commands go first. A local activity would
 * run in the workflow task, ahead of all activities.
 */
async function replayForCampaign(facts: CommandFacts, display: CommandDisplay): Promise<SettledOutcome> {
  const activities = attemptActivities(facts, display.campaignSummary(facts), 'campaign');
  const { commandType } = facts;
  return expectSettled(await readOutcome(activities.retry({ ...origin(), lane: 'retry', commandType })));
}

async function runLongRunning(
  facts: CommandFacts,
  input: Argument,
  display: CommandDisplay,
): Promise<SettledOutcome> {
  display.longRunning(facts);
  const activities = attemptActivities(facts, display.longRunningSummary(facts));
  const { commandType } = facts;
  return expectSettled(
    await readOutcome(
      activities.longRunningAttempt({ ...input, ...origin(), lane: 'longRunning', commandType }),
    ),
  );
}

async function retryWithBackoff(
  outcome: RetryOutcome,
  input: Argument,
  display: CommandDisplay,
): Promise<SettledOutcome> {
  display.failed(outcome);
  const { facts } = outcome;
  // With facts, the entry is in Postgres, and the payload need not enter the history again.
  const argument = facts ? {} : input;
  const activities = attemptActivities(facts, display.retrySummary(outcome));
  const known = facts && { commandType: facts.commandType };
  return expectSettled(
    await readOutcome(activities.retry({ ...argument, ...origin(), lane: 'retry', ...known })),
  );
}

/** Earlier releases failed such workflows with InboxBug. Only a workflow canceled at this point gets the patch marker. */
const CANCELLED_PATCH = 'cancelled-before-its-turn';

/**
 * An ordinary activity ends only when the command is settled. Temporal retries it otherwise, unless the workflow was
 * canceled in the meantime.
 */
function expectSettled(outcome: AttemptOutcome | DeadOutcome | RetryOutcome): SettledOutcome {
  if (outcome.kind === 'completed' || outcome.kind === 'dead') return outcome;
  if (CancellationScope.current().consideredCancelled && patched(CANCELLED_PATCH))
    throw new CancelledFailure('the workflow was canceled while its attempt was waiting for its turn');
  throw ApplicationFailure.nonRetryable(
    `an attempt ended with the unexpected outcome ${outcome.kind}: please report this bug`,
    'InboxBug',
  );
}

/** Converts a failure that the attempt threw on purpose to its outcome. Refusals and cancellations are thrown. */
async function readOutcome<T>(attempt: Promise<T>): Promise<T | DeadOutcome | RetryOutcome> {
  try {
    return await attempt;
  } catch (error) {
    return readFailure(error);
  }
}

/** The timer exists only for its summary: the timeline shows what the command is waiting for. */
const LONG_WAIT = '365 days';

/**
 * Waits for an operator's replay, for months if necessary, and processes the requests in order. Postgres decides whether a
 * request takes effect.
 *
 * @returns the facts about the command if a campaign replayed it, otherwise null
 */
async function waitForReplay(
  dead: DeadOutcome,
  display: CommandDisplay,
  requests: OperatorRequests,
): Promise<CommandFacts | null> {
  for (;;) {
    await condition(() => requests.waiting, LONG_WAIT, { summary: display.waitingSummary(dead) });
    const next = requests.take();
    if (!next) continue;
    const { kind, request } = next;
    const problem = undecodable(request);
    if (problem !== null) {
      display.rejected(dead, kind, `the argument ${problem}`);
      continue;
    }
    const priority = typeof request.campaign === 'string' ? 'campaign' : 'ordinary';
    const activities = operatorActivities(requestSummary(kind, request), priority);
    const inexactNumber = inexact(request);
    const input = { request, ...(inexactNumber !== null && { problem: inexactNumber }), ...origin() };
    const outcome = await (
      kind === 'replay' ? activities.replayDeadLetter(input) : activities.discardDeadLetter(input)
    ).catch(rejectUnserializable);
    if (outcome.kind === 'rejected') {
      display.rejected(dead, kind, outcome.problem);
    } else if (kind === 'discard' && outcome.kind === 'done') {
      display.discarded(request);
      throw ApplicationFailure.nonRetryable(display.discardedBecause(request), FAILURE.discarded);
    } else if (outcome.kind === 'nothingOpen' && outcome.resolution === 'discarded') {
      throw ApplicationFailure.nonRetryable('discarded', FAILURE.discarded);
    } else if (outcome.kind !== 'superseded') {
      requests.beginReplay();
      return priority === 'campaign' ? (outcome.facts ?? dead.facts) : null;
    }
  }
}

/** A request that cannot be passed to an activity must not fail the workflow: the dead letter keeps waiting. */
function rejectUnserializable(error: unknown): OperatorOutcome {
  if (error instanceof TemporalFailure) throw error;
  return { kind: 'rejected', problem: serializationProblem(error) };
}

function requestSummary(kind: 'replay' | 'discard', request: ReplayRequest): string {
  const who = typeof request?.actor === 'string' && request.actor ? ` by ${cutText(request.actor, 100)}` : '';
  return summaryLine(`${kind}${who}`);
}
