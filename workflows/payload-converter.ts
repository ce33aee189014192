/**
 * Decodes what comes into a workflow, whatever it is. An argument or a signal that cannot be decoded would otherwise fail every
 * workflow task of its workflow, and the workflow could neither go on nor say why.
 *
 * Used in Temporal's sandbox only, see `src/temporal/workflow-bundle.ts`.
 *
 * @module
 */
import { defaultPayloadConverter } from '@temporalio/common';
import type { Payload, PayloadConverter } from '@temporalio/common';
import { findInexactNumber } from '../src/core/json-text.ts';

/** A symbol, so that no JSON can pretend to be one; registered, as modules may be evaluated more than once. */
const UNDECODABLE = Symbol.for('temporal-inbox.undecodable');

/** Why a value could not be decoded; null when it was. */
export function undecodable(value: unknown): string | null {
  return problemOf(value, UNDECODABLE);
}

const INEXACT = Symbol.for('temporal-inbox.inexact');

/**
 * Which number decoding has changed, such as 1e400, which became Infinity and would become null in an activity's input; null if
 * there is none. It is known of objects and arrays.
 */
export function inexact(value: unknown): string | null {
  return problemOf(value, INEXACT);
}

function problemOf(value: unknown, kind: symbol): string | null {
  if (typeof value !== 'object' || value === null) return null;
  const problem = (value as Record<symbol, unknown>)[kind];
  return typeof problem === 'string' ? problem : null;
}

/** Loaded by the SDK under this name. */
export const payloadConverter: PayloadConverter = {
  toPayload: (value, context) => defaultPayloadConverter.toPayload(value, context),
  // The type of the interface, whose caller says what it expects.
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  fromPayload: <T>(payload: Payload, context?: Parameters<PayloadConverter['fromPayload']>[1]): T => {
    try {
      return noteInexact(payload, defaultPayloadConverter.fromPayload<T>(payload, context));
    } catch (error) {
      const problem = `cannot be decoded (encoding ${encodingOf(payload)}): ${textOf(error)}`;
      return { [UNDECODABLE]: problem } as T;
    }
  },
};

/** The value stays as it was, because workflows of earlier releases went on with it: what becomes of it, the activity decides. */
function noteInexact<T>({ metadata, data }: Payload, value: T): T {
  if (!data || typeof value !== 'object' || value === null) return value;
  const utf8 = new TextDecoder();
  if (!metadata?.['encoding'] || utf8.decode(metadata['encoding']) !== 'json/plain') return value;
  const problem = findInexactNumber(utf8.decode(data));
  if (problem !== null) Object.defineProperty(value, INEXACT, { value: problem });
  return value;
}

const MOST_SHOWN = 200;

function encodingOf({ metadata }: Payload): string {
  const encoding = metadata?.['encoding'];
  if (!encoding) return 'missing';
  const text = String.fromCharCode(...encoding.subarray(0, MOST_SHOWN));
  return /^[\w./+-]+$/.test(text) ? text : JSON.stringify(text);
}

/** JSON.parse repeats the beginning of what it was given, which may be a secret: only its kind is said. */
function textOf(error: unknown): string {
  if (error instanceof SyntaxError) return 'no valid JSON';
  return (error instanceof Error ? error.message : String(error)).slice(0, MOST_SHOWN);
}
