/**
 * The Postgres settings that the inbox pins, so that a URL, a role, a database or a server cannot change its behavior.
 *
 * @module
 */

/** A value to pin. `{ value: 'on', insteadOf: 'off' }` replaces only the value `off` and keeps all others. */
export type PinnedValue = string | { value: string; insteadOf: string };
export type PinnedSettings = Readonly<Record<string, PinnedValue>>;

/**
 * Sent at connection startup. Poolers accept these two and apply them to each server connection that they use. pg always
 * reads and writes UTF-8, so any other client_encoding would corrupt every text that is not ASCII.
 */
export const STARTUP_SETTINGS = { client_encoding: 'UTF8', standard_conforming_strings: 'on' };

/** Begins every transaction of the inbox. */
export const BEGIN = 'begin isolation level read committed read write not deferrable';

/** Accepted and completed commands must survive a crash. Stricter values (remote_apply, …) are the user's choice. */
const DURABLE = { synchronous_commit: { value: 'on', insteadOf: 'off' } } as const;

/** For connections that run only the inbox's own statements. */
const INBOX_STATEMENTS = {
  // Names and operators resolve to those of Postgres. All tables are qualified with their schema.
  search_path: 'pg_catalog, pg_temp',
  // The only style in which pg reads timestamps.
  DateStyle: 'ISO, MDY',
  // Times are read as seconds with a fraction, which must not be rounded.
  extra_float_digits: '1',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  transaction_timeout: '0',
  idle_in_transaction_session_timeout: '30s',
  idle_session_timeout: '0',
} as const;

/** The inbox's own statements are short. One that takes longer is waiting for a lock or for a dead network. */
const INBOX_LIMITS = { lock_timeout: '5s', statement_timeout: '15s' } as const;

/** For the CLI, the doctor and the reads of a dry run. The role determines how long their statements may take. */
export const OPERATOR_SETTINGS: PinnedSettings = { ...INBOX_STATEMENTS, ...DURABLE };

/** For failures, dead letters, the outbox relay, and operator requests that workers carry out. */
export const RECORD_SETTINGS: PinnedSettings = { ...INBOX_STATEMENTS, ...INBOX_LIMITS, ...DURABLE };

/**
 * Claims need no durable commit: if Postgres crashes and loses one, the entry is claimed again. Claims and scans for work
 * must read the indexes in order whatever the statistics say, because the statistics of a table whose rows change state
 * constantly are always out of date.
 */
export const CLAIM_SETTINGS: PinnedSettings = {
  ...INBOX_STATEMENTS,
  ...INBOX_LIMITS,
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  enable_sort: 'off',
  synchronous_commit: 'off',
};

/**
 * For an attempt, until the statement that locks its entry sets the command's own limits. search_path, role, TimeZone and
 * all other settings are the handler's.
 */
export const ATTEMPT_SETTINGS: PinnedSettings = {
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  transaction_timeout: '0',
  ...DURABLE,
};

/**
 * For statements on a sender's own pool. The search_path, the role and the limits of single statements stay as the caller
 * set them.
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
 * Replaces the caller's limits in a transaction that the inbox begins on a sender's pool. Its statements follow each other
 * immediately, but a busy process may still exceed a short limit between two of them.
 */
export const SEND_TRANSACTION_LIMITS: Readonly<Record<string, string>> = {
  idle_in_transaction_session_timeout: '30s',
  // Inside a transaction, Postgres can only disable this one: with another value, the timer keeps running as set at BEGIN.
  transaction_timeout: '0',
};

/** The value of these settings if no limit is set. */
export const NO_LIMIT = '0';
