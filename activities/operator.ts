/**
 * What an operator's signals do in Postgres.
 *
 * @module
 */
import { activityInfo } from '@temporalio/activity';
import { z } from 'zod';
import { crashPoint } from '../src/crash-points.ts';
import { checkJson } from '../src/envelope.ts';
import { InvalidMessageError } from '../src/errors.ts';
import type { Json } from '../src/json.ts';
import type { DiscardInput, OperatorOutcome, ReplayInput } from '../src/outcome.ts';
import type { Resolution } from '../src/store/dead-letters.ts';
import { discardDeadLetter, findLastDeadLetter, replayDeadLetter } from '../src/store/dead-letters.ts';
import { findEntry } from '../src/store/entries.ts';
import { reaching } from './answers.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { parsePayload } from './handler.ts';
import { ReportedFailure } from './transaction.ts';

/** Who acts when a signal does not say; the Web UI and the plain CLI need no argument. */
const UNKNOWN_ACTOR = 'temporal-signal';

const note = (limit: number) =>
  z
    .string('must be text')
    .max(limit, `is longer than ${limit} characters`)
    .refine((text) => !text.includes('\u0000') && text.isWellFormed(), 'has characters that cannot be stored')
    .nullish();
const request = z
  .object({ actor: note(200), reason: note(2_000), payload: z.unknown().optional() }, 'must be an object')
  .nullish()
  .transform((value) => value ?? { payload: undefined });

export function createOperatorActivities(dependencies: ActivityDependencies) {
  const { records } = dependencies;
  return {
    async replayDeadLetter(input: ReplayInput): Promise<OperatorOutcome> {
      const asked = parseRequest(input.request);
      if ('problem' in asked) return { kind: 'rejected', problem: asked.problem };
      const problem = await payloadProblem(dependencies, asked.messageId, asked.payload);
      if (problem) return { kind: 'rejected', problem };
      await crashPoint('before-replay-recorded', asked.messageId);
      const generation = await reaching(replayDeadLetter(records, asked, asked.payload));
      await crashPoint('after-replay-recorded', asked.messageId);
      return generation === null ? nothingOpen(dependencies, asked.messageId) : { kind: 'done' };
    },

    async discardDeadLetter(input: DiscardInput): Promise<OperatorOutcome> {
      const asked = parseRequest(input.request);
      if ('problem' in asked) return { kind: 'rejected', problem: asked.problem };
      const discarded = await reaching(discardDeadLetter(records, asked));
      return discarded ? { kind: 'done' } : nothingOpen(dependencies, asked.messageId);
    },
  };
}

function parseRequest(input: unknown): (Resolution & { payload: Json | undefined }) | { problem: string } {
  const messageId = activityInfo().workflowExecution!.workflowId;
  const parsed = request.safeParse(input);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    return { problem: `${issue.path.join('.') || 'the argument'} ${issue.message}` };
  }
  const { actor, reason, payload } = parsed.data as {
    actor?: string;
    reason?: string;
    payload: Json | undefined;
  };
  return { messageId, actor: actor || UNKNOWN_ACTOR, reason: reason || null, payload };
}

/** A payload that would die again at once is refused while the person is there to mend it. */
async function payloadProblem(
  { registry, records, maxPayloadBytes }: ActivityDependencies,
  messageId: string,
  payload: Json | undefined,
): Promise<string | null> {
  if (payload === undefined) return null;
  const entry = await reaching(findEntry(records, messageId));
  const command = entry ? registry.get(entry.commandType) : undefined;
  try {
    checkJson(payload, 'payload', maxPayloadBytes);
    if (command) await parsePayload(command, payload);
    return null;
  } catch (error) {
    if (error instanceof ReportedFailure || error instanceof InvalidMessageError) return error.message;
    throw error;
  }
}

async function nothingOpen({ records }: ActivityDependencies, messageId: string): Promise<OperatorOutcome> {
  const letter = await reaching(findLastDeadLetter(records, messageId));
  return { kind: 'nothingOpen', resolution: letter?.resolution ?? null };
}
