/**
 * Intercepts the statements that code sends to certain databases. A test sees every statement and can change its text, its
 * parameters or its answer. This seeds a bug without changing the shipped code.
 *
 * @module
 */
import { callbackify } from 'node:util';
import { Client } from 'pg';
import type { Pool, QueryResult } from 'pg';

export interface Statement {
  /** The application_name, which tells which pool the statement comes from. */
  application: string;
  text: string;
  values: unknown[] | undefined;
  /** Identifies the connection. */
  connection: object;
  /** Runs the statement on its connection, unchanged or with another text or other values. */
  readonly send: (text?: string, values?: unknown[]) => Promise<QueryResult>;
  /** A pool that the code under test does not use, for what a bug does outside of the transaction. */
  separatePool: Pool;
}

export type Patch = (statement: Statement) => Promise<QueryResult>;

export interface Patched {
  patch: Patch;
  separatePool: Pool;
  /** Called after every statement, whether it succeeded or failed. */
  answered(statement: Statement): void;
}

/** By database name, so that tests of several bugs can run concurrently. */
const patchedDatabases = new Map<string, Patched>();

export function patchDatabase(url: string, patched: Patched): void {
  patchedDatabases.set(new URL(url).pathname.slice(1), patched);
}

interface Internals {
  database: string;
  connectionParameters: { application_name?: string };
}
type Callback = (error: Error | null, answer: QueryResult) => void;

function textAndValues(config: unknown): unknown[] {
  const { text, values } = config as { text?: unknown; values?: unknown };
  return [text, values];
}

// oxlint-disable-next-line typescript/unbound-method -- it is called with `this` below
const query = Client.prototype.query as (this: Client, ...args: unknown[]) => unknown;
Client.prototype.query = function patchable(this: Client & Internals, ...args: unknown[]) {
  const patched = patchedDatabases.get(this.database);
  if (!patched) return query.apply(this, args);
  // A prepared statement is an object. It is sent unprepared, because a changed text would need another statement name.
  const [text, given] = typeof args[0] === 'string' ? args : textAndValues(args[0]);
  if (typeof text !== 'string') return query.apply(this, args);
  // `Pool.query()` passes a callback.
  const callback = typeof args.at(-1) === 'function' ? (args.pop() as Callback) : null;
  const statement: Statement = {
    application: this.connectionParameters.application_name ?? '',
    text,
    values: given as unknown[] | undefined,
    connection: this,
    send: (changed = text, values = statement.values) =>
      query.call(this, changed, values) as Promise<QueryResult>,
    separatePool: patched.separatePool,
  };
  const answer = patched.patch(statement).finally(() => patched.answered(statement));
  if (!callback) return answer;
  callbackify(() => answer)(callback);
  return undefined;
} as typeof Client.prototype.query;
