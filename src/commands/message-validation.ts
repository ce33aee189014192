/**
 * Validates incoming messages. The same rules apply to every way of sending.
 *
 * @module
 */
import { envelopeProblem, hasControlCharacter } from '../core/envelope-shape.ts';
import { InvalidMessageError } from '../core/errors.ts';
import type { Json, JsonObject } from '../core/json.ts';
import { findJsonProblem, storedBytes } from '../core/json.ts';
import type { NewEntry } from '../store/entries.ts';

export const DEFAULT_MAX_PAYLOAD_BYTES = 1_048_576;
export const MAX_MESSAGE_ID_BYTES = 200;
const MAX_METADATA_BYTES = 65_536;

/**
 * Checks a message id: 1 to 200 bytes of UTF-8, no control characters, not blank.
 *
 * @throws InvalidMessageError if the message id breaks one of these rules
 */
export function checkMessageId(messageId: unknown): string {
  const problem = messageIdProblem(messageId);
  if (problem) throw new InvalidMessageError('messageId', problem);
  return messageId as string;
}

function messageIdProblem(messageId: unknown): string | null {
  if (typeof messageId !== 'string') return 'must be text';
  if (messageId.trim() === '') return 'is empty or blank';
  if (hasControlCharacter(messageId)) return 'has a control character or a lone surrogate';
  if (Buffer.byteLength(messageId) > MAX_MESSAGE_ID_BYTES)
    return `is longer than ${MAX_MESSAGE_ID_BYTES} bytes`;
  return null;
}

/**
 * Turns a sender's input into an entry.
 *
 * @param maxPayloadBytes - size limit of the payload, as Postgres stores it
 * @throws InvalidMessageError naming the field and its problem
 */
export function parseEnvelope(messageId: unknown, input: unknown, maxPayloadBytes: number): NewEntry {
  const id = checkMessageId(messageId);
  const problem = envelopeProblem(input);
  if (problem) throw new InvalidMessageError(problem.field, problem.problem);
  const { commandType, correlationId, causationId, payload, metadata } = input as CheckedEnvelope;
  return {
    messageId: id,
    commandType,
    payload: checkSize(payload, 'payload', maxPayloadBytes),
    correlationId: correlationId ?? null,
    causationId: causationId ?? null,
    metadata: checkSize(metadata ?? {}, 'metadata', MAX_METADATA_BYTES) as JsonObject,
  };
}

interface CheckedEnvelope {
  commandType: string;
  payload: Json;
  correlationId?: string | null;
  causationId?: string | null;
  metadata?: JsonObject | null;
}

/**
 * Checks that a value is JSON that Postgres and JavaScript can hold without loss, and that it is not too large.
 *
 * @param maxBytes - size limit, in bytes of the jsonb's text
 * @throws InvalidMessageError naming the part of the value that is invalid
 */
export function checkJson(value: unknown, field: string, maxBytes: number): Json {
  const problem = findJsonProblem(value, field);
  if (problem) throw new InvalidMessageError(problem.path, problem.problem);
  return checkSize(value as Json, field, maxBytes);
}

function checkSize(value: Json, field: string, maxBytes: number): Json {
  const bytes = sizeOf(value, field, maxBytes);
  if (bytes > maxBytes)
    throw new InvalidMessageError(field, `is ${bytes} bytes as Postgres stores it; the limit is ${maxBytes}`);
  return value;
}

function sizeOf(value: unknown, field: string, maxBytes: number): number {
  try {
    return storedBytes(value, maxBytes);
  } catch (error) {
    // The JSON text exceeds the maximum length of a string.
    if (error instanceof RangeError)
      throw new InvalidMessageError(field, `is too large; the limit is ${maxBytes} bytes`);
    throw error;
  }
}
