/**
 * What ends with an attempt: everything that its handler has left in the session.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import { run, statement } from '../platform/prepared-statements.ts';

/**
 * Behind COMMIT, after every attempt: settings, role and temporary tables, which functions that a handler calls can leave behind,
 * too. Costs Postgres 5 % of an express command; DISCARD ALL costs three times that, and prepared statements with
 * it.
 */
const ALWAYS = ['reset all', 'reset role', 'discard temp'];
const RELEASE_LOCKS = 'select pg_catalog.pg_advisory_unlock_all()';
/** Where a handler sent more than queries, everything that a session can have. */
const EVERYTHING = ['reset session authorization', ...ALWAYS, 'close all', 'unlisten *', RELEASE_LOCKS];

/**
 * Statements that leave a session as it was when it began. Behind a pooler they have to be in one message with the end of the
 * transaction, to reach the same server.
 *
 * @param everything - also what no function leaves behind by accident; the statements that the connection has prepared go, too
 * @param carried - what a pooler has set for its client, to be set again; null where no pooler is in between
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
  // A pooler keeps account of what its servers have prepared.
  return [...reset, ...(everything ? ['deallocate all'] : [])].join('; ');
}

const RELEASE_SESSION_LOCKS = statement(RELEASE_LOCKS);

/** Advisory locks of the session, as a prepared statement: it is needed after every attempt. */
export async function releaseSessionLocks(db: Queryable): Promise<void> {
  await run(db, RELEASE_SESSION_LOCKS, []);
}

/** Whatever role a handler took, the inbox writes as the login; and within the attempt's time. */
export function resumeOwnRole(timeoutMs: number): string {
  return `reset session authorization; reset role; set local statement_timeout = ${Math.ceil(timeoutMs)}`;
}
