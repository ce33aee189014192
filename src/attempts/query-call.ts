/**
 * A call of `query` in any form that `pg` accepts: text or a config, with values, with a callback, or an object that talks
 * to the connection itself (Query, Cursor, QueryStream).
 *
 * @module
 */
import { Query } from 'pg';

type Callback = (error: Error | null, result?: unknown) => void;

export interface QueryCall {
  /** Null if it cannot be read. */
  text: string | null;
  /** Set for an object with its own `submit` method. */
  submittable: Submittable | null;
  callback: Callback | null;
  /** The arguments to pass on. They don't include `callback`. */
  args: unknown[];
}

interface Submittable {
  handleError?: (error: Error, connection: unknown) => void;
}

export function readQueryCall([first, ...rest]: unknown[]): QueryCall {
  const callback = (rest.find((arg) => typeof arg === 'function') as Callback | undefined) ?? null;
  const values = rest.filter((arg) => typeof arg !== 'function');
  if (typeof first !== 'object' || first === null) {
    return {
      text: typeof first === 'string' ? first : null,
      submittable: null,
      callback,
      args: [first, ...values],
    };
  }
  const config = first as {
    text?: unknown;
    cursor?: { text?: unknown };
    submit?: unknown;
    callback?: unknown;
  };
  const text = [config.text, config.cursor?.text].find((candidate) => typeof candidate === 'string') ?? null;
  if (typeof config.submit === 'function') {
    return {
      text,
      submittable: first,
      callback,
      args: [first, ...rest],
    };
  }
  const configCallback = typeof config.callback === 'function' ? (config.callback as Callback) : null;
  const withoutCallback = configCallback === null ? first : { ...first, callback: undefined };
  return {
    text,
    submittable: null,
    callback: callback ?? configCallback,
    args: [withoutCallback, ...values],
  };
}

/** True for a cursor or a stream, whose rows are read in several steps. */
export function isPortal(submittable: Submittable): boolean {
  return !(submittable instanceof Query);
}

/** Fails the call in the way its form requires: through the object, the callback or the promise. */
export function rejectCall(call: QueryCall, error: Error): unknown {
  if (call.submittable) {
    const { submittable } = call;
    process.nextTick(() => submittable.handleError?.(error, null));
    return submittable;
  }
  return respond(call, Promise.reject(error));
}

/** Returns the promise or, for a call with a callback, calls that later. An unawaited rejection does not end the process. */
export function respond({ callback }: QueryCall, result: Promise<unknown>): unknown {
  result.catch(() => {});
  if (!callback) return result;
  // Called outside of the promise, so that an error thrown by the callback is an uncaught exception, as in pg.
  result.then(
    (value) => process.nextTick(callback, null, value),
    (error: Error) => process.nextTick(callback, error),
  );
  return undefined;
}
