/**
 * Decodes the input of a workflow without ever failing. Otherwise an argument or signal that cannot be decoded would fail
 * every workflow task, and the workflow could neither continue nor report the reason.
 *
 * Used only in Temporal's sandbox, see `src/temporal/workflow-bundle.ts`.
 *
 * @module
 */
import { defaultPayloadConverter } from '@temporalio/common';
import type { Payload, PayloadConverter } from '@temporalio/common';
import { findInexactNumber } from '../src/core/json-text.ts';

/** A symbol, so that no JSON can imitate it. Registered globally, because modules may be evaluated more than once. */
const UNDECODABLE = Symbol.for('temporal-inbox.undecodable');

/** Returns why a value could not be decoded; null if it was decoded. */
export function undecodable(value: unknown): string | null {
  return problemOf(value, UNDECODABLE);
}

const INEXACT = Symbol.for('temporal-inbox.inexact');

/**
 * Names a number that decoding has changed; null if there is none. For example, 1e400 became Infinity, and would become null
 * in an activity's input.
 */
export function inexact(value: unknown): string | null {
  return problemOf(value, INEXACT);
}

function problemOf(value: unknown, kind: symbol): string | null {
  if (typeof value !== 'object' || value === null) return null;
  const problem = (value as Record<symbol, unknown>)[kind];
  return typeof problem === 'string' ? problem : null;
}

/** The SDK loads the converter by this name. */
export const payloadConverter: PayloadConverter = {
  toPayload: (value, context) => defaultPayloadConverter.toPayload(value, context),
  // The interface prescribes this type parameter, which only the caller knows.
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  fromPayload: <T>(payload: Payload, context?: Parameters<PayloadConverter['fromPayload']>[1]): T => {
    try {
      return markInexact(payload, defaultPayloadConverter.fromPayload<T>(payload, context));
    } catch (error) {
      const problem = `cannot be decoded (encoding ${encodingOf(payload)}): ${textOf(error)}`;
      return { [UNDECODABLE]: problem } as T;
    }
  },
};

/** Keeps the value, because workflows of earlier releases continued with it. The activity decides whether to reject it. */
function markInexact<T>({ metadata, data }: Payload, value: T): T {
  const canChange = typeof value === 'number' || (typeof value === 'object' && value !== null);
  if (!data || !canChange) return value;
  const utf8 = new TextDecoder();
  if (!metadata?.['encoding'] || utf8.decode(metadata['encoding']) !== 'json/plain') return value;
  const problem = findInexactNumber(utf8.decode(data));
  if (problem === null) return value;
  // A number cannot carry the mark, so an empty object takes its place. Every caller rejects it.
  const marked = typeof value === 'number' ? {} : value;
  return Object.defineProperty(marked, INEXACT, { value: problem }) as T;
}

const MAX_SHOWN = 200;

function encodingOf({ metadata }: Payload): string {
  const encoding = metadata?.['encoding'];
  if (!encoding) return 'missing';
  const text = String.fromCharCode(...encoding.subarray(0, MAX_SHOWN));
  return /^[\w./+-]+$/.test(text) ? text : JSON.stringify(text);
}

/**
 * The message of JSON.parse repeats the beginning of its input, which may be a secret, so only the kind of error is
 * reported.
 */
function textOf(error: unknown): string {
  if (error instanceof SyntaxError) return 'invalid JSON';
  return (error instanceof Error ? error.message : String(error)).slice(0, MAX_SHOWN);
}
