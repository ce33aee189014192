/**
 * The Postgres settings that the inbox sets itself, so that a URL, a role, a database or a server cannot change what it does.
 *
 * @module
 */

/** A value, or a value that replaces only one other: `{ value: 'on', insteadOf: 'off' }`. */
export type PinnedValue = string | { value: string; insteadOf: string };
export type PinnedSettings = Readonly<Record<string, PinnedValue>>;

/**
 * Sent when a connection starts. Poolers accept these two, and set them on whatever server connection they use. pg reads and
 * writes UTF-8 whatever the server believes, so another client_encoding would change every text that is not ASCII.
 */
export const STARTUP_SETTINGS = { client_encoding: 'UTF8', standard_conforming_strings: 'on' };

/** Of every transaction that the inbox begins. */
export const BEGIN = 'begin isolation level read committed read write not deferrable';

/** What was answered as accepted or completed must survive a crash. The stricter values (remote_apply, …) are the user's. */
const DURABLE = { synchronous_commit: { value: 'on', insteadOf: 'off' } } as const;

/** For statements that are the inbox's alone. */
const OWN_STATEMENTS = {
  // Names and operators resolve to Postgres's own. All tables are named with their schema.
  search_path: 'pg_catalog, pg_temp',
  // pg reads timestamps in this style only.
  DateStyle: 'ISO, MDY',
  // Times are read as seconds with a fraction.
  extra_float_digits: '1',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  transaction_timeout: '0',
  idle_in_transaction_session_timeout: '30s',
  idle_session_timeout: '0',
} as const;

/** They are short; one that waits longer waits for a lock, or for a dead network. */
const OWN_LIMITS = { lock_timeout: '5s', statement_timeout: '15s' } as const;

/** For the command line, the doctor and the reads of a dry run. How long their statements may take is the role's to say. */
export const OPERATOR_SETTINGS: PinnedSettings = { ...OWN_STATEMENTS, ...DURABLE };

/** For failures, dead letters, the outbox relay, and what operators ask workers for. */
export const RECORD_SETTINGS: PinnedSettings = { ...OWN_STATEMENTS, ...OWN_LIMITS, ...DURABLE };

/**
 * A claim that a crash of Postgres forgets is simply made again. Claims and scans for work read through indexes, in their order,
 * whatever the statistics say: those of a table whose rows change state all the time are always out of date.
 */
export const CLAIM_SETTINGS: PinnedSettings = {
  ...OWN_STATEMENTS,
  ...OWN_LIMITS,
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  enable_sort: 'off',
  synchronous_commit: 'off',
};

/**
 * For an attempt, until the statement that locks its entry sets the limits of its command. search_path, role, TimeZone and
 * everything else are the handler's.
 */
export const ATTEMPT_SETTINGS: PinnedSettings = {
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  transaction_timeout: '0',
  ...DURABLE,
};

/**
 * For what a sender's own pool is used for. The caller's search_path and role are the caller's, and so are the limits of single
 * statements.
 */
export const SEND_SETTINGS: PinnedSettings = {
  client_encoding: STARTUP_SETTINGS.client_encoding,
  standard_conforming_strings: STARTUP_SETTINGS.standard_conforming_strings,
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  DateStyle: 'ISO, MDY',
  ...DURABLE,
};

/**
 * For a transaction that the inbox begins on a sender's pool, instead of the limits that the caller has set. Its statements
 * follow each other at once, but a busy process may take longer for that than a short limit allows.
 */
export const SEND_TRANSACTION_LIMITS: Readonly<Record<string, string>> = {
  idle_in_transaction_session_timeout: '30s',
  // Within a transaction Postgres can only switch this one off: another value leaves the timer as it was set at BEGIN.
  transaction_timeout: '0',
};

/** The value of those settings where nobody has set a limit. */
export const NO_LIMIT = '0';
