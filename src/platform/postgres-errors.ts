/**
 * Interprets database errors: whether Postgres was available at all, and which parts of an error may be logged.
 *
 * @module
 */
import { DatabaseError } from 'pg';
import { messageOf } from './error-message.ts';

/** Node's codes for an unreachable server or a broken connection. */
const NETWORK_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EAI_FAIL',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENETRESET',
  'EADDRNOTAVAIL',
  // A Unix socket whose server is not running, or whose folder is not accessible.
  'ENOENT',
  'EACCES',
  // This process or this machine has run out of sockets.
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
]);

/** Messages of errors that pg gives no code. */
const PG_MESSAGES = [
  /^Connection terminated/,
  /^timeout exceeded when trying to connect$/,
  /^timeout expired$/,
  /^Client has encountered a connection error and is not queryable$/,
  /^Client was closed and is not queryable$/,
  /^Query read timeout$/,
  /^Cannot use a pool after calling end on the pool$/,
  /^Received unexpected \w+ message from backend/,
  /^The server does not support SSL connections$/,
  /^There was an error establishing an SSL connection$/,
];

/** SQLSTATEs, or their classes of two characters, that mean Postgres was not available, whatever the statement was. */
const UNAVAILABLE_CLASSES = new Set([
  // Insufficient resources: too many connections, disk full, out of memory.
  '53',
  // An error outside Postgres: I/O errors, missing files.
  '58',
  // The login was refused. Statements cannot fail with this class.
  '28',
]);
/** Shutdown, crash, startup, dropped database, idle_session_timeout. */
const SESSION_ENDINGS = new Set(['57P01', '57P02', '57P03', '57P04', '57P05']);
const UNAVAILABLE_STATES = new Set([
  ...SESSION_ENDINGS,
  // A standby, or a session that was set to read-only: a failover.
  '25006',
  // A prepared statement is missing or exists already: a pooler gave the transaction another server connection.
  '26000',
  '42P05',
  // The database does not exist. Only a login can fail with this code.
  '3D000',
]);
/** temp_file_limit: a single statement can exceed it. */
const CONFIGURATION_LIMIT = '53400';

/**
 * Returns true if the error means that Postgres, the network or a pooler was not available, rather than that the statement
 * was wrong. Of a server's errors, it reads only the codes, because the messages may be translated.
 *
 * Limits that a statement reached (57014, 25P03, 25P04, 55P03) do not count, because attempts set limits themselves.
 */
export function isDatabaseUnavailable(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some((inner) => isDatabaseUnavailable(inner));
  if (error instanceof DatabaseError) return isUnavailableState(error);
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  if (typeof code === 'string' && NETWORK_CODES.has(code)) return true;
  return PG_MESSAGES.some((message) => message.test(error.message));
}

function isUnavailableState(error: DatabaseError): boolean {
  // Postgres always names the routine. An error without one comes from a pooler: query_wait_timeout, a refused login, too
  // many clients, or a startup parameter that it does not accept.
  if (error.routine === undefined) return true;
  const state = error.code ?? '';
  if (state === CONFIGURATION_LIMIT) return false;
  if (UNAVAILABLE_STATES.has(state) || UNAVAILABLE_CLASSES.has(state.slice(0, 2))) return true;
  // "cached plan must not change result type": a migration ran. Any other 0A000 is caused by the statement itself.
  return state === '0A000' && error.routine === 'RevalidateCachedQuery';
}

/**
 * Returns true if the server or a pooler closes the connection after this error, even if the socket closes a moment later.
 */
export function endsSession(error: unknown): boolean {
  if (!(error instanceof DatabaseError)) return false;
  return error.routine === undefined || SESSION_ENDINGS.has(error.code ?? '');
}

/** Returns true if the server or a pooler cannot accept another connection. Existing connections keep working. */
export function isServerFull(error: unknown): boolean {
  return (
    error instanceof ServerConnectionTimeoutError ||
    (error instanceof DatabaseError && error.code === '53300')
  );
}

/** A pooler accepted the connection but did not connect it to Postgres in time. */
export class ServerConnectionTimeoutError extends Error {
  override readonly name = 'ServerConnectionTimeoutError';
  readonly code = 'ETIMEDOUT';

  constructor(timeoutMs: number) {
    super(`Connection terminated: Postgres did not answer the first statement within ${timeoutMs} ms`);
  }
}

/** The fields that a log line may contain about an error. */
export type ErrorFields = {
  /** The error's class. */
  error: string;
  /** The SQLSTATE of an error from Postgres or a pooler. */
  sqlstate?: string;
  /** Node's code, such as ECONNREFUSED. */
  code?: string;
  /** The message of a failed connection. Other messages may repeat data. */
  reason?: string;
};

/** The error's class, its SQLSTATE or code, and the message of a failed connection. */
export function errorFields(error: unknown): ErrorFields {
  if (!(error instanceof Error)) return { error: typeof error };
  const { code } = (error instanceof AggregateError ? (error.errors[0] ?? error) : error) as {
    code?: unknown;
  };
  const fields: ErrorFields = { error: className(error) };
  if (error instanceof DatabaseError) {
    if (error.code) fields.sqlstate = error.code;
  } else if (typeof code === 'string' || typeof code === 'number') {
    fields.code = String(code);
  }
  if (isConnectionError(error)) fields.reason = messageOf(error);
  return fields;
}

/** Such a message names hosts, ports, logins and databases, and contains nothing from a statement. */
function isConnectionError(error: Error): boolean {
  if (!isDatabaseUnavailable(error)) return false;
  if (!(error instanceof DatabaseError)) return true;
  return error.routine === undefined || /^(?:28|3D|57P|53300)/.test(error.code ?? '');
}

/** pg names its class `error`, and many classes set no name. */
function className(error: Error): string {
  if (error instanceof DatabaseError) return 'DatabaseError';
  return error.name && error.name !== 'Error' ? error.name : error.constructor.name;
}
