/**
 * Validates the arguments of operators' signals. Any Temporal client can send them, with any content.
 *
 * @module
 */
import { z } from 'zod';
import type { Json } from '../core/json.ts';
import type { ChangeNote } from '../store/campaigns.ts';
import type { Replay, Resolution } from '../store/dead-letters.ts';

/** The actor when a signal names none. Signals from the Web UI and from Temporal's CLI need no argument. */
export const UNKNOWN_ACTOR = 'temporal-signal';

const text = (limit: number) =>
  z
    .string('must be text')
    .max(limit, `is longer than ${limit} characters`)
    .refine(
      (value) => !value.includes('\u0000') && value.isWellFormed(),
      'contains characters that cannot be stored',
    )
    .nullish();
const id = z.guid('must be a UUID').nullish();
const NOTE = { actor: text(200), reason: text(2_000) };
const NOT_AN_OBJECT = 'must be an object';

const note = z.object(NOTE, NOT_AN_OBJECT).nullish();
const discard = z.object({ ...NOTE, deadLetterId: id }, NOT_AN_OBJECT).nullish();
const replay = z
  .object({ ...NOTE, deadLetterId: id, campaign: id, payload: z.unknown().optional() }, NOT_AN_OBJECT)
  .nullish();

export interface Problem {
  problem: string;
}

export function parseReplay(messageId: string, input: unknown): Omit<Replay, 'changed'> | Problem {
  const request = check(replay, input);
  if ('problem' in request) return request;
  return {
    ...resolutionOf(messageId, request.value),
    payload: request.value?.payload as Json | undefined,
    campaign: request.value?.campaign ?? null,
  };
}

export function parseDiscard(messageId: string, input: unknown): Resolution | Problem {
  const request = check(discard, input);
  return 'problem' in request ? request : resolutionOf(messageId, request.value);
}

/** Parses a request to a campaign: who makes it, and why. */
export function parseNote(input: unknown): ChangeNote | Problem {
  const request = check(note, input);
  return 'problem' in request ? request : noteOf(request.value);
}

function resolutionOf(messageId: string, value: z.infer<typeof discard>): Resolution {
  return { messageId, ...noteOf(value), deadLetterId: value?.deadLetterId ?? null };
}

function noteOf(value: z.infer<typeof note>): ChangeNote {
  return { actor: value?.actor || UNKNOWN_ACTOR, reason: value?.reason || null };
}

/** Returns the value, or the first problem with the name of its field. */
function check<T>(schema: z.ZodType<T>, input: unknown): { value: T } | Problem {
  const parsed = schema.safeParse(input);
  if (parsed.success) return { value: parsed.data };
  const issue = parsed.error.issues[0]!;
  return { problem: `${issue.path.join('.') || 'the argument'} ${issue.message}` };
}
