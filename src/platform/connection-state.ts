/**
 * What is known of a connection: whether a pooler is in between, and how its transactions begin.
 *
 * @module
 */
import { BEGIN } from './connection-settings.ts';

interface Session {
  pooled: boolean;
  begin: string;
  /** What a pooler has set on its server for this connection, and RESET ALL takes away. */
  carried?: string;
}

const sessions = new WeakMap<object, Session>();

/** Remembers it for a connection, or for all connections of a pool. */
export function noteSession(client: object, session: Session): void {
  sessions.set(client, session);
}

/** Whether a pooler is between this connection and Postgres. False where nobody has looked. */
export function isPooled(client: object): boolean {
  return sessions.get(client)?.pooled ?? false;
}

/** Statements that undo what RESET ALL does beyond the session of this connection; null where no pooler is in between. */
export function carriedOf(client: object): string | null {
  return sessions.get(client)?.carried ?? null;
}

/** Begins a transaction in which the settings of the connection's pool hold. */
export function beginOf(client: object, pool?: object): string {
  return (sessions.get(client) ?? (pool && sessions.get(pool)))?.begin ?? BEGIN;
}
