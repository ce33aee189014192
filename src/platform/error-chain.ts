/**
 * Follows an error to what caused it. ORMs, `fetch` and HTTP clients wrap the error that matters, each in its own way.
 *
 * @module
 */
import { types } from 'node:util';
import { DatabaseError } from 'pg';

/** Enough for any real chain; a hostile one may be endless. */
const MAX_DEPTH = 12;
/** Errors of an AggregateError that are looked at. */
const MAX_ERRORS = 20;

/** `cause` is the standard. TypeORM, Sequelize, Objection and MikroORM have properties of their own. */
const CAUSE_PROPERTIES = ['cause', 'driverError', 'original', 'parent', 'nativeError', 'previous'];

/** An error, the one that caused it, and so on: outermost first, at most 12, none of them twice. */
export function errorChain(thrown: unknown): object[] {
  const chain: object[] = [];
  let next: unknown = thrown;
  while (isErrorLike(next) && chain.length < MAX_DEPTH && !chain.includes(next)) {
    chain.push(next);
    next = causeOf(next);
  }
  return chain;
}

/** The errors of an AggregateError, without those that cannot be read. */
export function errorsOf(error: object): object[] {
  const errors = readProperty(error, 'errors');
  if (!safely(() => Array.isArray(errors))) return [];
  return safely(() => (errors as unknown[]).slice(0, MAX_ERRORS).filter(isErrorLike)) ?? [];
}

/** An instance of Error, also one of another realm, or an object that describes an error, as Prisma's adapters have. */
export function isErrorLike(value: unknown): value is object {
  if (isError(value)) return true;
  if (typeof value !== 'object' || value === null) return false;
  return readText(value, 'message') !== '' || readText(value, 'originalMessage') !== '';
}

export function isError(value: unknown): value is Error {
  return types.isNativeError(value) || (safely(() => value instanceof Error) ?? false);
}

/** What `cause` holds where it is no error, such as the text or the object that people put there. */
export function looseCause(error: object): unknown {
  const cause = readProperty(error, 'cause');
  return isErrorLike(cause) ? undefined : cause;
}

function causeOf(error: object): unknown {
  for (const property of CAUSE_PROPERTIES) {
    const cause = readProperty(error, property);
    // Beside `cause` the names are common ones: only what is an error counts.
    if (property === 'cause' ? isErrorLike(cause) : isError(cause)) return cause;
  }
  const adapterError = readProperty(readProperty(error, 'meta'), 'driverAdapterError');
  if (isErrorLike(adapterError)) return adapterError;
  if (readText(error, 'name') === 'SuppressedError') return readProperty(error, 'error');
  return isError(error) ? errorsOf(error)[0] : undefined;
}

/**
 * The SQLSTATE of an error that comes from Postgres by any driver: `pg`, another copy of it, postgres.js, or Prisma's
 * adapter. Null for every other error.
 */
export function sqlStateOf(error: object): string | null {
  const original = readText(error, 'originalCode');
  if (isSqlState(original)) return original;
  const code = readText(error, 'code');
  if (safely(() => error instanceof DatabaseError)) return code || null;
  // Node's own codes can look alike (EPIPE), but have no severity.
  return isSqlState(code) && readText(error, 'severity') !== '' ? code : null;
}

function isSqlState(code: string): boolean {
  return /^[0-9A-Z]{5}$/.test(code);
}

/** A property as text; empty where it has none, is something else, or cannot be read. */
export function readText(value: object, property: string): string {
  const text = readProperty(value, property);
  return typeof text === 'string' ? text : '';
}

function readProperty(value: unknown, property: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return safely(() => (value as Record<string, unknown>)[property]);
}

/** Getters of foreign errors, and proxies, may throw. */
export function safely<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
