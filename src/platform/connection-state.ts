/**
 * Remembers for each connection whether it goes through a pooler, and how its transactions begin.
 *
 * @module
 */
import { BEGIN } from './connection-settings.ts';

interface SessionState {
  pooled: boolean;
  begin: string;
  /** Statements that restore the settings which the pooler made on its server connection, because RESET ALL removes them. */
  carried?: string;
}

const sessions = new WeakMap<object, SessionState>();

/** Stores the state of a connection, or of all connections of a pool. */
export function rememberSession(client: object, session: SessionState): void {
  sessions.set(client, session);
}

/** Returns true if a pooler is between this connection and Postgres; false if the connection was never inspected. */
export function isPooled(client: object): boolean {
  return sessions.get(client)?.pooled ?? false;
}

/**
 * Returns the statements that must follow RESET ALL, because it also removes the pooler's settings; null without a pooler.
 */
export function poolerSettingsOf(client: object): string | null {
  return sessions.get(client)?.carried ?? null;
}

/** Returns the statement that begins a transaction with the settings of the connection's pool. */
export function beginOf(client: object, pool?: object): string {
  return (sessions.get(client) ?? (pool && sessions.get(pool)))?.begin ?? BEGIN;
}
