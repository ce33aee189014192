/**
 * Decodes what comes into a workflow, whatever it is. An argument or a signal that cannot be decoded would otherwise fail every
 * workflow task of its workflow, and the workflow could neither go on nor say why.
 *
 * Used in Temporal's sandbox only, see `src/workflow-bundle.ts`.
 *
 * @module
 */
import { defaultPayloadConverter } from '@temporalio/common';
import type { Payload, PayloadConverter } from '@temporalio/common';

/** A symbol, so that no JSON can pretend to be one; registered, as modules may be evaluated more than once. */
const UNDECODABLE = Symbol.for('temporal-inbox.undecodable');

/** Why a value could not be decoded; null when it was. */
export function undecodable(value: unknown): string | null {
  if (typeof value !== 'object' || value === null) return null;
  const problem = (value as { [UNDECODABLE]?: unknown })[UNDECODABLE];
  return typeof problem === 'string' ? problem : null;
}

/** Loaded by the SDK under this name. */
export const payloadConverter: PayloadConverter = {
  toPayload: (value, context) => defaultPayloadConverter.toPayload(value, context),
  // The type of the interface, whose caller says what it expects.
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  fromPayload: <T>(payload: Payload, context?: Parameters<PayloadConverter['fromPayload']>[1]): T => {
    try {
      return defaultPayloadConverter.fromPayload<T>(payload, context);
    } catch (error) {
      const problem = `cannot be decoded (encoding ${encodingOf(payload)}): ${textOf(error)}`;
      return { [UNDECODABLE]: problem } as T;
    }
  },
};

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
