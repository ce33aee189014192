/**
 * Resets a session after an attempt: removes everything that its handler left there.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { run, statement } from '../platform/prepared-statements.ts';

/**
 * Runs after every attempt, behind COMMIT. Functions that a handler calls can also leave settings, a role and temporary
 * tables behind. This costs Postgres 5 % of an express command; DISCARD ALL costs three times as much and also drops the
 * prepared statements.
 */
const ALWAYS = ['reset all', 'reset role', 'discard temp'];
const RELEASE_LOCKS = 'select pg_catalog.pg_advisory_unlock_all()';
/** Everything that a session can have, for handlers that sent more than queries. */
const EVERYTHING = ['reset session authorization', ...ALWAYS, 'close all', 'unlisten *', RELEASE_LOCKS];

/**
 * Statements that return a session to its initial state. Behind a pooler, they must be sent in one message with the end
 * of the transaction, so that they reach the same backend.
 *
 * @param everything - also reset what no function leaves behind by accident; this drops the connection's prepared
 *   statements too
 * @param carried - settings that a pooler has set for its client and that must be set again; null if there is no pooler
 */
export function resetSession({
  everything,
  carried,
}: {
  everything: boolean;
  carried: string | null;
}): string {
  const reset = everything ? EVERYTHING : ALWAYS;
  if (carried !== null) return [...reset, carried, ...(everything ? [] : [RELEASE_LOCKS])].join('; ');
  // Only without a pooler: a pooler keeps track of the statements that its backends have prepared.
  return [...reset, ...(everything ? ['deallocate all'] : [])].join('; ');
}

const RELEASE_SESSION_LOCKS = statement(RELEASE_LOCKS);

/** Releases the advisory locks of the session. It is a prepared statement because it runs after every attempt. */
export async function releaseSessionLocks(db: Queryable): Promise<void> {
  await run(db, RELEASE_SESSION_LOCKS, []);
}

/**
 * Returns to the login's own role, whatever role the handler took, and limits the inbox's statements to the attempt's
 * timeout.
 */
export function resumeOwnRole(timeoutMs: number): string {
  return `reset session authorization; reset role; set local statement_timeout = ${Math.ceil(timeoutMs)}`;
}
