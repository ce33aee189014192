/**
 * Carries out the operators' signals in Postgres.
 *
 * @module
 */
import { activityInfo } from '@temporalio/activity';
import { crashPoint } from '../src/platform/crash-points.ts';
import { checkJson } from '../src/commands/message-validation.ts';
import { InvalidMessageError } from '../src/core/errors.ts';
import type { Json } from '../src/core/json.ts';
import type { DiscardInput, OperatorOutcome, ReplayInput } from '../src/core/activity-messages.ts';
import { payloadDifference } from '../src/operations/payload-diff.ts';
import type { Replay, Resolution } from '../src/store/dead-letters.ts';
import { discardDeadLetter, findLastDeadLetter, replayDeadLetter } from '../src/store/dead-letters.ts';
import { findEntry } from '../src/store/entries.ts';
import { factsOf, retryWhenDatabaseUnavailable } from './temporal-failures.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { parsePayload } from '../src/attempts/run-handler.ts';
import { parseDiscard, parseReplay } from '../src/operations/operator-request.ts';
import type { Problem } from '../src/operations/operator-request.ts';
import { ReportedFailure } from '../src/attempts/handler-transaction.ts';

export function createOperatorActivities(dependencies: ActivityDependencies) {
  const { records } = dependencies;
  return {
    async replayDeadLetter(input: ReplayInput): Promise<OperatorOutcome> {
      if (input.problem !== undefined) return { kind: 'rejected', problem: `the argument ${input.problem}` };
      const request = parseReplay(currentMessageId(), input.request);
      if ('problem' in request) return { kind: 'rejected', problem: request.problem };
      const edit = await readEdit(dependencies, request.messageId, request.payload);
      if ('problem' in edit) return { kind: 'rejected', problem: edit.problem };
      await crashPoint('before-replay-recorded', request.messageId);
      const generation = await retryWhenDatabaseUnavailable(
        replayDeadLetter(records, { ...request, ...edit }),
      );
      await crashPoint('after-replay-recorded', request.messageId);
      const outcome =
        generation === null ? await nothingOpen(dependencies, request) : ({ kind: 'done' } as const);
      return request.campaign === null ? outcome : withFacts(dependencies, request.messageId, outcome);
    },

    async discardDeadLetter(input: DiscardInput): Promise<OperatorOutcome> {
      if (input.problem !== undefined) return { kind: 'rejected', problem: `the argument ${input.problem}` };
      const request = parseDiscard(currentMessageId(), input.request);
      if ('problem' in request) return { kind: 'rejected', problem: request.problem };
      const discarded = await retryWhenDatabaseUnavailable(discardDeadLetter(records, request));
      return discarded ? { kind: 'done' } : nothingOpen(dependencies, request);
    },
  };
}

function currentMessageId(): string {
  return activityInfo().workflowExecution!.workflowId;
}

/**
 * Rejects an invalid payload now, while the operator can still correct it. Otherwise it would become a dead letter again.
 */
async function readEdit(
  { registry, records, maxPayloadBytes }: ActivityDependencies,
  messageId: string,
  payload: Json | undefined,
): Promise<Pick<Replay, 'changed'> | Problem> {
  if (payload === undefined) return { changed: null };
  const entry = await retryWhenDatabaseUnavailable(findEntry(records, messageId));
  const command = entry ? registry.get(entry.commandType) : undefined;
  try {
    checkJson(payload, 'payload', maxPayloadBytes);
    if (command) await parsePayload(command, payload);
    return { changed: payloadDifference(entry?.payload ?? null, payload).map(({ path }) => path) };
  } catch (error) {
    if (error instanceof ReportedFailure || error instanceof InvalidMessageError)
      return { problem: error.message };
    throw error;
  }
}

async function nothingOpen(
  { records }: ActivityDependencies,
  { messageId, deadLetterId }: Resolution,
): Promise<OperatorOutcome> {
  const letter = await retryWhenDatabaseUnavailable(findLastDeadLetter(records, messageId));
  if (deadLetterId !== null && letter?.resolution === null) return { kind: 'superseded' };
  return { kind: 'nothingOpen', resolution: letter?.resolution ?? null };
}

/** Adds the command's current facts: its settings may have been fixed since the dead letter was recorded. */
async function withFacts(
  dependencies: ActivityDependencies,
  messageId: string,
  outcome: OperatorOutcome,
): Promise<OperatorOutcome> {
  if (outcome.kind !== 'done' && outcome.kind !== 'nothingOpen') return outcome;
  const entry = await retryWhenDatabaseUnavailable(findEntry(dependencies.records, messageId));
  if (!entry) return outcome;
  return { ...outcome, facts: factsOf(dependencies, entry, dependencies.registry.get(entry.commandType)) };
}
