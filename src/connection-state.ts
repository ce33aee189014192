/**
 * What is known of a connection: whether a pooler is in between, and how its transactions begin.
 *
 * @module
 */
import { BEGIN } from './connection-settings.ts';

interface Session {
  pooled: boolean;
  begin: string;
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

/** Begins a transaction in which the settings of the connection's pool hold. */
export function beginOf(client: object, pool?: object): string {
  return (sessions.get(client) ?? (pool && sessions.get(pool)))?.begin ?? BEGIN;
}
