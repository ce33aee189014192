/**
 * Checks at compile time that a type can be stored as JSON. {@link findJsonProblem} makes the same checks at run time.
 *
 * @module
 */
import type { Json } from './json.ts';

declare const NOT_JSON: unique symbol;

/** Stands in for a type that JSON cannot hold, so that the compiler's message contains the reason. */
export interface NotJson<Reason extends string> {
  readonly [NOT_JSON]: Reason;
}

/**
 * The type itself if JSON can hold it; otherwise a type that it cannot be assigned to. Interfaces, optional properties,
 * readonly arrays, tuples and unions can be JSON. `any` and `unknown` pass; they are checked at run time only.
 */
export type JsonCompatible<T> = 0 extends 1 & T // only true for any
  ? T
  : unknown extends T
    ? T
    : T extends Json | undefined | void
      ? T
      : T extends bigint
        ? NotJson<'a bigint is not JSON: use a string'>
        : T extends symbol
          ? NotJson<'a symbol is not JSON'>
          : T extends (...args: never[]) => unknown
            ? NotJson<'a function is not JSON'>
            : T extends Date
              ? NotJson<'a Date is not JSON: use its toISOString()'>
              : T extends ReadonlyMap<unknown, unknown>
                ? NotJson<'a Map is not JSON: use Object.fromEntries()'>
                : T extends ReadonlySet<unknown>
                  ? NotJson<'a Set is not JSON: use an array'>
                  : T extends PromiseLike<unknown>
                    ? NotJson<'a promise is not JSON: await it'>
                    : T extends ArrayBuffer | ArrayBufferView
                      ? NotJson<'bytes are not JSON: use a base64 string'>
                      : T extends object
                        ? { [Key in keyof T]: JsonCompatible<T[Key]> }
                        : never;

/** The type of a value after it was stored and read again. If a handler returns nothing, the stored result is null. */
export type StoredAs<T> = 0 extends 1 & T ? T : T extends undefined | void ? null : T;
