/**
 * Checks whether an envelope can become an entry, except for its size in Postgres. Workflows use this check as well: they
 * must not pass an invalid envelope to an activity.
 *
 * @module
 */
import { isLongerThan } from './characters.ts';
import { findJsonProblem } from './json.ts';
import { RESERVED_TYPES } from './protocol.ts';

const MAX_TYPE_LENGTH = 200;
const MAX_TRACE_ID_LENGTH = 255;

/** A field and its problem, such as `payload.items[3]` and `is NaN, which JSON cannot hold`. */
export interface FieldProblem {
  field: string;
  problem: string;
}

/** The first problem with `{commandType, payload, correlationId?, causationId?, metadata?}`, or null if there is none. */
export function envelopeProblem(input: unknown): FieldProblem | null {
  if (input === undefined) return { field: 'the argument', problem: 'is missing' };
  if (!isObject(input))
    return { field: 'the argument', problem: 'must be an object with commandType and payload' };
  const { commandType, payload, correlationId, causationId, metadata } = input;
  return (
    commandTypeProblem('commandType', commandType) ??
    (payload === undefined ? { field: 'payload', problem: 'is missing' } : null) ??
    traceIdProblem('correlationId', correlationId) ??
    traceIdProblem('causationId', causationId) ??
    // Any key is allowed, including __proto__: metadata is stored unchanged.
    (metadata === undefined || metadata === null || isObject(metadata)
      ? null
      : { field: 'metadata', problem: 'must be an object' }) ??
    jsonProblem('payload', payload) ??
    jsonProblem('metadata', metadata ?? {})
  );
}

/** Why a value cannot be a command type, or null if it can. */
export function commandTypeProblem(field: string, value: unknown): FieldProblem | null {
  const problem = textProblem(field, value, MAX_TYPE_LENGTH);
  if (problem !== null || !RESERVED_TYPES.includes(value as string)) return problem;
  return { field, problem: `is ${value as string}, the type of one of the inbox's own workflows` };
}

/** Why a value is not text of 1 to `limit` characters on one line, or null if it is. */
function textProblem(field: string, value: unknown, limit: number): FieldProblem | null {
  if (value === undefined) return { field, problem: 'is missing' };
  if (typeof value !== 'string') return { field, problem: 'must be text' };
  if (hasControlCharacter(value)) return { field, problem: 'has a control character or a lone surrogate' };
  if (value === '') return { field, problem: 'is empty' };
  return isLongerThan(value, limit) ? { field, problem: `is longer than ${limit} characters` } : null;
}

function traceIdProblem(field: string, value: unknown): FieldProblem | null {
  return value === undefined || value === null ? null : textProblem(field, value, MAX_TRACE_ID_LENGTH);
}

function jsonProblem(field: string, value: unknown): FieldProblem | null {
  const found = findJsonProblem(value, field);
  return found && { field: found.path, problem: found.problem };
}

export function hasControlCharacter(text: string): boolean {
  return /[\p{Cc}\p{Cs}]/u.test(text);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
