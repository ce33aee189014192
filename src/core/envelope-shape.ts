/**
 * What an envelope must look like to become an entry, apart from its size in Postgres. Also for workflows, which must not let
 * anything else reach an activity.
 *
 * @module
 */
import { isLongerThan } from './characters.ts';
import { findJsonProblem } from './json.ts';

const MAX_TYPE_LENGTH = 200;
const MAX_TRACE_ID_LENGTH = 255;

/** A field and what is wrong with it, such as `payload.items[3]` and `is NaN, which JSON cannot hold`. */
export interface FieldProblem {
  field: string;
  problem: string;
}

/** The first thing that is wrong with `{commandType, payload, correlationId?, causationId?, metadata?}`; null when nothing is. */
export function envelopeProblem(input: unknown): FieldProblem | null {
  if (input === undefined) return { field: 'the argument', problem: 'is missing' };
  if (!isObject(input))
    return { field: 'the argument', problem: 'must be an object with commandType and payload' };
  const { commandType, payload, correlationId, causationId, metadata } = input;
  return (
    textProblem('commandType', commandType, MAX_TYPE_LENGTH) ??
    (payload === undefined ? { field: 'payload', problem: 'is missing' } : null) ??
    traceIdProblem('correlationId', correlationId) ??
    traceIdProblem('causationId', causationId) ??
    // Keys of any name, __proto__ too: metadata is kept as it came.
    (metadata === undefined || metadata === null || isObject(metadata)
      ? null
      : { field: 'metadata', problem: 'must be an object' }) ??
    jsonProblem('payload', payload) ??
    jsonProblem('metadata', metadata ?? {})
  );
}

/** Why a value cannot be text of 1 to `limit` characters on one line; null when it can. */
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

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
