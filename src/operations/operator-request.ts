/**
 * What operators' signals bring, checked: it comes from outside, and may be anything.
 *
 * @module
 */
import { z } from 'zod';
import type { Json } from '../core/json.ts';
import type { ChangeNote } from '../store/campaigns.ts';
import type { Replay, Resolution } from '../store/dead-letters.ts';

/** Who acts when a signal does not say; the Web UI and the plain CLI need no argument. */
export const UNKNOWN_ACTOR = 'temporal-signal';

const text = (limit: number) =>
  z
    .string('must be text')
    .max(limit, `is longer than ${limit} characters`)
    .refine(
      (value) => !value.includes('\u0000') && value.isWellFormed(),
      'has characters that cannot be stored',
    )
    .nullish();
const id = z.guid('must be a uuid').nullish();
const NOTE = { actor: text(200), reason: text(2_000) };
const NO_OBJECT = 'must be an object';

const note = z.object(NOTE, NO_OBJECT).nullish();
const discard = z.object({ ...NOTE, deadLetterId: id }, NO_OBJECT).nullish();
const replay = z
  .object({ ...NOTE, deadLetterId: id, campaign: id, payload: z.unknown().optional() }, NO_OBJECT)
  .nullish();

export interface Problem {
  problem: string;
}

export function parseReplay(messageId: string, input: unknown): Omit<Replay, 'changed'> | Problem {
  const asked = check(replay, input);
  if ('problem' in asked) return asked;
  return {
    ...resolutionOf(messageId, asked.value),
    payload: asked.value?.payload as Json | undefined,
    campaign: asked.value?.campaign ?? null,
  };
}

export function parseDiscard(messageId: string, input: unknown): Resolution | Problem {
  const asked = check(discard, input);
  return 'problem' in asked ? asked : resolutionOf(messageId, asked.value);
}

/** Of a request to a campaign: who asks, and why. */
export function parseNote(input: unknown): ChangeNote | Problem {
  const asked = check(note, input);
  return 'problem' in asked ? asked : noteOf(asked.value);
}

function resolutionOf(messageId: string, value: z.infer<typeof discard>): Resolution {
  return { messageId, ...noteOf(value), deadLetterId: value?.deadLetterId ?? null };
}

function noteOf(value: z.infer<typeof note>): ChangeNote {
  return { actor: value?.actor || UNKNOWN_ACTOR, reason: value?.reason || null };
}

/** The first thing that is wrong, with the name of its field. */
function check<T>(schema: z.ZodType<T>, input: unknown): { value: T } | Problem {
  const parsed = schema.safeParse(input);
  if (parsed.success) return { value: parsed.data };
  const issue = parsed.error.issues[0]!;
  return { problem: `${issue.path.join('.') || 'the argument'} ${issue.message}` };
}
