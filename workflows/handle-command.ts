/**
 * The life of one command. Postgres is the truth about it; this workflow is what makes it move: the first attempt, the
 * retries, and the wait for a person once it is a dead letter.
 *
 * Deterministic, and replayed from histories that are months old: every change of the order of its steps needs
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
import { activitiesFor, firstAttempt, operatorActivities, origin, recordReader } from './activity-options.ts';
import { cannotPassOn, readFailure } from './failure.ts';
import type { Death, Setback } from './failure.ts';
import { discardSignal, replaySignal, statusQuery } from './signals-and-queries.ts';
import { OperatorRequests } from './operator-requests.ts';
import { inexact, undecodable } from './payload-converter.ts';
import { Story } from './story.ts';

/**
 * @param envelope - the command, where it is not in Postgres yet, or what came of it where it is Completed; anything, as it
 *   comes from outside
 * @returns the handler's result
 * @throws ApplicationFailure of type InvalidEnvelope, IdempotencyConflict or Discarded
 */
export async function handleCommand(envelope?: unknown): Promise<Json> {
  const requests = new OperatorRequests();
  const story = new Story(workflowInfo().workflowId, envelope);
  setHandler(replaySignal, (request) => requests.add({ kind: 'replay', request }));
  setHandler(discardSignal, (request) => requests.add({ kind: 'discard', request }));
  setHandler(statusQuery, () => story.report());
  refuseUndecodable(envelope);
  const claimed = recordOf(envelope);
  const recorded = claimed && (await verified(claimed));
  if (recorded) {
    story.completedBefore(recorded.at);
    return recorded.result;
  }
  // An argument that tells of a completion which was none: the entry decides, as where there is no argument.
  const command = claimed ? undefined : envelope;
  refuseInvalid(command);

  let forCampaign: CommandFacts | null = null;
  for (;;) {
    const outcome = await untilSettled(command, story, requests.replayed, forCampaign);
    if (outcome.kind === 'completed') {
      story.completed();
      return outcome.result;
    }
    requests.endReplay();
    story.died(outcome);
    forCampaign = await untilReplayed(outcome, story, requests);
    story.replayed();
  }
}

function refuseUndecodable(envelope: unknown): void {
  const problem = undecodable(envelope);
  if (problem === null) return;
  throw ApplicationFailure.nonRetryable(`the argument ${problem}`, FAILURE.invalidEnvelope);
}

/** Earlier workflows left it to the first attempt. Only what is refused is marked with the patch. */
const REFUSE_PATCH = 'refuse-invalid-envelope';

/** What cannot become an entry reaches no activity. A number that is not exact is left to it: it names the place. */
function refuseInvalid(envelope: unknown): void {
  if (envelope === undefined || inexact(envelope) !== null) return;
  const problem = envelopeProblem(envelope);
  if (problem === null || !patched(REFUSE_PATCH)) return;
  throw ApplicationFailure.nonRetryable(`${problem.field} ${problem.problem}`, FAILURE.invalidEnvelope);
}

/** Whoever may start workflows could write any result into the argument. Workflows of earlier releases believed it. */
const VERIFY_PATCH = 'verify-record';

/** What Postgres says of a command that is said to have completed. Null: it has not, or Postgres could not be asked. */
async function verified(claimed: CompletedEnvelope['completed']): Promise<CommandRecord | null> {
  if (!patched(VERIFY_PATCH)) return claimed;
  try {
    return await recordReader().readRecord(origin());
  } catch {
    return null;
  }
}

/** Longer than any time in ISO 8601. */
const MAX_TIME_LENGTH = 40;

/** Null: there is a command to be handled. */
function recordOf(envelope: unknown): CompletedEnvelope['completed'] | null {
  const { completed, payload } = (envelope ?? {}) as Partial<CompletedEnvelope & { payload: unknown }>;
  if (payload !== undefined || typeof completed?.at !== 'string' || completed.result === undefined)
    return null;
  if (completed.at.length > MAX_TIME_LENGTH || !canBeWritten(completed.result)) {
    const problem = 'the argument is no record of a completed command: its time or its result cannot be used';
    throw ApplicationFailure.nonRetryable(problem, FAILURE.invalidEnvelope);
  }
  return completed;
}

/** JSON that is nested too deeply can be read but not written; returning it would fail every workflow task. */
function canBeWritten(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return true;
  } catch {
    return false;
  }
}

type Settled = { kind: 'completed'; result: Json } | Death;

/** Attempts until the command is completed or dead. A cancelled workflow makes it dead. */
async function untilSettled(
  envelope: unknown,
  story: Story,
  replayed: boolean,
  forCampaign: CommandFacts | null,
): Promise<Settled> {
  // After a replay the entry is in Postgres; and its payload may no longer be that of the envelope.
  const input = replayed || envelope === undefined ? {} : argumentOf(envelope);
  try {
    return await (forCampaign ? replayForCampaign(forCampaign, story) : attempts(input, story));
  } catch (error) {
    if (!isCancellation(error)) throw error;
    const outcome = await CancellationScope.nonCancellable(() =>
      settle(operatorActivities('cancelled by a person').deadLetterCancelled(origin())),
    );
    if (outcome?.kind === 'completed') return outcome;
    if (outcome?.kind === 'dead') story.died(outcome);
    throw error;
  }
}

type Argument = Pick<AttemptInput, 'envelope' | 'problem'>;

function argumentOf(envelope: unknown): Argument {
  const problem = inexact(envelope);
  return problem === null ? { envelope } : { envelope, problem };
}

async function attempts(input: Argument, story: Story): Promise<Settled> {
  const first = await settle(
    firstAttempt(story.firstSummary()).firstAttempt({ ...input, ...origin(), lane: 'first' }),
  );
  if (first.kind === 'completed' || first.kind === 'dead') return first;
  return first.kind === 'longRunning'
    ? runLongRunning(first.facts, input, story)
    : retryWithBackoff(first, input, story);
}

/**
 * A campaign's replay: not in the workflow task, which goes before all activities, but as an ordinary activity that the
 * live commands' ones overtake.
 */
async function replayForCampaign(facts: CommandFacts, story: Story): Promise<Settled> {
  const activities = activitiesFor(facts, story.campaignSummary(facts), 'campaign');
  const { commandType } = facts;
  return expectSettled(await settle(activities.retry({ ...origin(), lane: 'retry', commandType })));
}

async function runLongRunning(facts: CommandFacts, input: Argument, story: Story): Promise<Settled> {
  story.longRunning(facts);
  const activities = activitiesFor(facts, story.longRunningSummary(facts));
  const { commandType } = facts;
  return expectSettled(
    await settle(activities.longRunningAttempt({ ...input, ...origin(), lane: 'longRunning', commandType })),
  );
}

async function retryWithBackoff(setback: Setback, input: Argument, story: Story): Promise<Settled> {
  story.failed(setback);
  // Once claimed, the entry is in Postgres and the payload need not go through the history again.
  const rest = setback.facts ? {} : input;
  const activities = activitiesFor(setback.facts, story.retrySummary(setback));
  const known = setback.facts && { commandType: setback.facts.commandType };
  return expectSettled(await settle(activities.retry({ ...rest, ...origin(), lane: 'retry', ...known })));
}

/** Earlier releases failed such workflows with InboxBug. Only a workflow that is cancelled at this point gets the patch marker. */
const CANCELLED_PATCH = 'cancelled-before-its-turn';

/**
 * An ordinary activity ends only when the command is settled: Temporal retries all else, unless the workflow was cancelled
 * meanwhile.
 */
function expectSettled(outcome: AttemptOutcome | Death | Setback): Settled {
  if (outcome.kind === 'completed' || outcome.kind === 'dead') return outcome;
  if (CancellationScope.current().consideredCancelled && patched(CANCELLED_PATCH))
    throw new CancelledFailure('the workflow was cancelled while its attempt waited for its turn');
  throw ApplicationFailure.nonRetryable(`an attempt ended as ${outcome.kind}, which cannot be`, 'InboxBug');
}

/** A failure that the attempt threw on purpose is an answer; refusals and cancellations stay failures. */
async function settle<T>(attempt: Promise<T>): Promise<T | Death | Setback> {
  try {
    return await attempt;
  } catch (error) {
    return readFailure(error);
  }
}

/** The timer's only use is its summary: the timeline shows at once what the command waits for. */
const LONG_WAIT = '365 days';

/**
 * Waits for a person, for months if need be. Every request is decided in Postgres; here is only the order of them. Answers
 * what is known of the command, where it was a campaign that replayed it.
 */
async function untilReplayed(
  death: Death,
  story: Story,
  requests: OperatorRequests,
): Promise<CommandFacts | null> {
  for (;;) {
    await condition(() => requests.waiting, LONG_WAIT, { summary: story.waitingSummary(death) });
    const next = requests.take();
    if (!next) continue;
    const { kind, request } = next;
    const problem = undecodable(request);
    if (problem !== null) {
      story.rejected(death, kind, `the argument ${problem}`);
      continue;
    }
    const lane = typeof request.campaign === 'string' ? 'campaign' : 'ordinary';
    const activities = operatorActivities(describe(kind, request), lane);
    const inexactNumber = inexact(request);
    const input = { request, ...(inexactNumber !== null && { problem: inexactNumber }), ...origin() };
    const outcome = await (
      kind === 'replay' ? activities.replayDeadLetter(input) : activities.discardDeadLetter(input)
    ).catch(rejectUnusable);
    if (outcome.kind === 'rejected') {
      story.rejected(death, kind, outcome.problem);
    } else if (kind === 'discard' && outcome.kind === 'done') {
      story.discarded(request);
      throw ApplicationFailure.nonRetryable(story.discardedBecause(request), FAILURE.discarded);
    } else if (outcome.kind === 'nothingOpen' && outcome.resolution === 'discarded') {
      throw ApplicationFailure.nonRetryable('discarded', FAILURE.discarded);
    } else if (outcome.kind !== 'superseded') {
      requests.beginReplay();
      return lane === 'campaign' ? (outcome.facts ?? death.facts) : null;
    }
  }
}

/** A request that no activity can be given must not fail the workflow: the dead letter goes on waiting. */
function rejectUnusable(error: unknown): OperatorOutcome {
  if (error instanceof TemporalFailure) throw error;
  return { kind: 'rejected', problem: cannotPassOn(error) };
}

function describe(kind: 'replay' | 'discard', request: ReplayRequest): string {
  const who = typeof request?.actor === 'string' && request.actor ? ` by ${cutText(request.actor, 100)}` : '';
  return summaryLine(`${kind}${who}`);
}
