/**
 * A call of `query` in any of the forms that `pg` takes: text or a config, with values, with a callback, or an object that
 * talks to the connection itself (Query, Cursor, QueryStream).
 *
 * @module
 */
import { Query } from 'pg';

type Callback = (error: Error | null, result?: unknown) => void;

export interface QueryCall {
  /** Null where it cannot be read. */
  text: string | null;
  /** Set for an object with a `submit` of its own. */
  submittable: Submittable | null;
  callback: Callback | null;
  /** The same call without its callback. */
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
  const own = typeof config.callback === 'function' ? (config.callback as Callback) : null;
  const plain = own === null ? first : { ...first, callback: undefined };
  return {
    text,
    submittable: null,
    callback: callback ?? own,
    args: [plain, ...values],
  };
}

/** A cursor or stream, whose rows are read in several steps. */
export function isPortal(submittable: Submittable): boolean {
  return !(submittable instanceof Query);
}

/** Answers the call with an error, in the form in which it was made. */
export function refuse(call: QueryCall, error: Error): unknown {
  if (call.submittable) {
    const { submittable } = call;
    process.nextTick(() => submittable.handleError?.(error, null));
    return submittable;
  }
  return answer(call, Promise.reject(error));
}

/** The promise, or nothing and a callback later. A rejection that nobody awaits does not end the process. */
export function answer({ callback }: QueryCall, result: Promise<unknown>): unknown {
  result.catch(() => {});
  if (!callback) return result;
  // Outside of the promise: what the callback throws is an exception, as in pg.
  result.then(
    (value) => process.nextTick(callback, null, value),
    (error: Error) => process.nextTick(callback, error),
  );
  return undefined;
}
