/**
 * Remembers for each connection whether a pooler is in between, and how its transactions begin.
 *
 * @module
 */
import { BEGIN } from './connection-settings.ts';

interface SessionState {
  pooled: boolean;
  begin: string;
  /** Statements that restore what the pooler has set on its server connection for this client, and RESET ALL removes. */
  carried?: string;
}

const sessions = new WeakMap<object, SessionState>();

/** Stores the state of a connection, or of all connections of a pool. */
export function rememberSession(client: object, session: SessionState): void {
  sessions.set(client, session);
}

/** Whether a pooler is between this connection and Postgres. False if the connection was never inspected. */
export function isPooled(client: object): boolean {
  return sessions.get(client)?.pooled ?? false;
}

/** Statements that must follow RESET ALL, because it also removes what the pooler has set; null without a pooler. */
export function poolerSettingsOf(client: object): string | null {
  return sessions.get(client)?.carried ?? null;
}

/** The statement that begins a transaction with the settings of the connection's pool. */
export function beginOf(client: object, pool?: object): string {
  return (sessions.get(client) ?? (pool && sessions.get(pool)))?.begin ?? BEGIN;
}
