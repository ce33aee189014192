/**
 * Follows an error to its causes. ORMs, `fetch` and HTTP clients each wrap the actual error in their own way.
 *
 * @module
 */
import { types } from 'node:util';
import { DatabaseError } from 'pg';

/** Deep enough for any real chain. A malicious chain may be endless. */
const MAX_DEPTH = 12;
/** Maximum number of errors read from an AggregateError. */
const MAX_ERRORS = 20;

/** `cause` is the standard. TypeORM, Sequelize, Objection and MikroORM use other properties. */
const CAUSE_PROPERTIES = ['cause', 'driverError', 'original', 'parent', 'nativeError', 'previous'];

/** An error, its cause, and so on: outermost first, at most 12, without repetitions. */
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

/** An instance of Error, even from another realm, or an object that describes an error, like those of Prisma's adapters. */
export function isErrorLike(value: unknown): value is object {
  if (isError(value)) return true;
  if (typeof value !== 'object' || value === null) return false;
  return readText(value, 'message') !== '' || readText(value, 'originalMessage') !== '';
}

export function isError(value: unknown): value is Error {
  return types.isNativeError(value) || (safely(() => value instanceof Error) ?? false);
}

/** The value of `cause` if it is not an error, for example a text or a plain object. */
export function looseCause(error: object): unknown {
  const cause = readProperty(error, 'cause');
  return isErrorLike(cause) ? undefined : cause;
}

function causeOf(error: object): unknown {
  for (const property of CAUSE_PROPERTIES) {
    const cause = readProperty(error, property);
    // All names except `cause` are common ones: they only count if they hold a real error.
    if (property === 'cause' ? isErrorLike(cause) : isError(cause)) return cause;
  }
  const adapterError = readProperty(readProperty(error, 'meta'), 'driverAdapterError');
  if (isErrorLike(adapterError)) return adapterError;
  if (readText(error, 'name') === 'SuppressedError') return readProperty(error, 'error');
  return isError(error) ? errorsOf(error)[0] : undefined;
}

/**
 * The SQLSTATE of an error that comes from Postgres through any driver: `pg`, another copy of it, postgres.js, or Prisma's
 * adapter. Null for all other errors.
 */
export function sqlStateOf(error: object): string | null {
  const original = readText(error, 'originalCode');
  if (isSqlState(original)) return original;
  const code = readText(error, 'code');
  if (safely(() => error instanceof DatabaseError)) return code || null;
  // Node's own codes can look the same (EPIPE), but these errors have no severity.
  return isSqlState(code) && readText(error, 'severity') !== '' ? code : null;
}

/** Returns true if the error, or one of its causes, comes from Postgres and has this SQLSTATE. */
export function hasSqlState(thrown: unknown, state: string): boolean {
  return errorChain(thrown).some((error) => sqlStateOf(error) === state);
}

function isSqlState(code: string): boolean {
  return /^[0-9A-Z]{5}$/.test(code);
}

/** A property as text. Empty if the property is missing, is not text, or cannot be read. */
export function readText(value: object, property: string): string {
  const text = readProperty(value, property);
  return typeof text === 'string' ? text : '';
}

function readProperty(value: unknown, property: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return safely(() => (value as Record<string, unknown>)[property]);
}

/** Getters and proxies of unknown errors may throw. */
export function safely<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
