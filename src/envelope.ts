/**
 * The border: what may become an entry. The same rules for every way in.
 *
 * @module
 */
import { z } from 'zod';
import { isLongerThan } from './characters.ts';
import { InvalidMessageError } from './errors.ts';
import type { Json, JsonObject } from './json.ts';
import { findJsonProblem, storedBytes } from './json.ts';
import type { NewEntry } from './store/entries.ts';

export const DEFAULT_MAX_PAYLOAD_BYTES = 1_048_576;
const MAX_MESSAGE_ID_BYTES = 200;
const MAX_TYPE_LENGTH = 200;
const MAX_TRACE_ID_LENGTH = 255;
const MAX_METADATA_BYTES = 65_536;

const missingOr = (problem: string) => (issue: { input: unknown }) =>
  issue.input === undefined ? 'is missing' : problem;

const text = z
  .string({ error: missingOr('must be text') })
  .refine((value) => !/[\p{Cc}\p{Cs}]/u.test(value), {
    error: 'has a control character or a lone surrogate',
  });
const upTo = (limit: number) =>
  text
    .min(1, 'is empty')
    .refine((value) => !isLongerThan(value, limit), { error: `is longer than ${limit} characters` });
const traceId = upTo(MAX_TRACE_ID_LENGTH)
  .nullish()
  .transform((value) => value ?? null);

const envelope = z.object(
  {
    commandType: upTo(MAX_TYPE_LENGTH),
    payload: z.unknown().refine((value) => value !== undefined, 'is missing'),
    correlationId: traceId,
    causationId: traceId,
    // Not z.record: it drops keys named __proto__, and metadata is kept as it came.
    metadata: z.custom<object>((value) => isObject(value), 'must be an object').nullish(),
  },
  { error: missingOr('must be an object with commandType and payload') },
);

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Checks a message id: 1 to 200 bytes of UTF-8, no control characters, not blank.
 *
 * @throws InvalidMessageError
 */
export function checkMessageId(messageId: unknown): string {
  const problem = messageIdProblem(messageId);
  if (problem) throw new InvalidMessageError('messageId', problem);
  return messageId as string;
}

function messageIdProblem(messageId: unknown): string | null {
  if (typeof messageId !== 'string') return 'must be text';
  if (messageId.trim() === '') return 'is empty or blank';
  if (/[\p{Cc}\p{Cs}]/u.test(messageId)) return 'has a control character or a lone surrogate';
  if (Buffer.byteLength(messageId) > MAX_MESSAGE_ID_BYTES)
    return `is longer than ${MAX_MESSAGE_ID_BYTES} bytes`;
  return null;
}

/**
 * Turns whatever a sender gave into an entry.
 *
 * @param maxPayloadBytes - limit of the payload, as Postgres stores it
 * @throws InvalidMessageError naming the field and what is wrong with it
 */
export function parseEnvelope(messageId: unknown, input: unknown, maxPayloadBytes: number): NewEntry {
  const id = checkMessageId(messageId);
  const parsed = envelope.safeParse(input);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new InvalidMessageError(issue.path.join('.') || 'the argument', issue.message);
  }
  const { commandType, correlationId, causationId, payload, metadata } = parsed.data;
  return {
    messageId: id,
    commandType,
    payload: checkJson(payload, 'payload', maxPayloadBytes),
    correlationId,
    causationId,
    metadata: checkJson(metadata ?? {}, 'metadata', MAX_METADATA_BYTES) as JsonObject,
  };
}

/**
 * Checks that a value is JSON that Postgres and JavaScript hold without loss, and not too large.
 *
 * @param maxBytes - limit of its size as Postgres stores it, as text of a jsonb
 * @throws InvalidMessageError
 */
export function checkJson(value: unknown, field: string, maxBytes: number): Json {
  const problem = findJsonProblem(value, field);
  if (problem) throw new InvalidMessageError(problem.path, problem.problem);
  const bytes = sizeOf(value, field, maxBytes);
  if (bytes > maxBytes)
    throw new InvalidMessageError(field, `is ${bytes} bytes as Postgres stores it; the limit is ${maxBytes}`);
  return value as Json;
}

function sizeOf(value: unknown, field: string, maxBytes: number): number {
  try {
    return storedBytes(value, maxBytes);
  } catch (error) {
    // Longer than a string can be.
    if (error instanceof RangeError)
      throw new InvalidMessageError(field, `is too large; the limit is ${maxBytes} bytes`);
    throw error;
  }
}
