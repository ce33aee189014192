/**
 * Stands between the code and Postgres, for one database at a time: a test sees every statement, and may change its text,
 * its parameters or its answer. So a bug can be seeded without touching what is shipped.
 *
 * @module
 */
import { callbackify } from 'node:util';
import { Client } from 'pg';
import type { Pool, QueryResult } from 'pg';

export interface Statement {
  /** As in pg_stat_activity: which of the pools it comes from. */
  application: string;
  text: string;
  values: unknown[] | undefined;
  /** The connection; only to tell one from another. */
  connection: object;
  /** Runs it on its connection, as it is or changed. */
  readonly send: (text?: string, values?: unknown[]) => Promise<QueryResult>;
  /** Connections that are nobody's, for what a bug does outside of the transaction. */
  aside: Pool;
}

export type Patch = (statement: Statement) => Promise<QueryResult>;

export interface Patched {
  patch: Patch;
  aside: Pool;
  /** Told of every statement that was answered, well or not. */
  answered(statement: Statement): void;
}

/** By the name of the database, so that tests of several bugs can run side by side. */
const patched = new Map<string, Patched>();

export function patchDatabase(url: string, how: Patched): void {
  patched.set(new URL(url).pathname.slice(1), how);
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
  const how = patched.get(this.database);
  if (!how) return query.apply(this, args);
  // A prepared one comes as an object, and is sent unprepared: what is changed would need another name.
  const [text, given] = typeof args[0] === 'string' ? args : textAndValues(args[0]);
  if (typeof text !== 'string') return query.apply(this, args);
  // A pool's own query() asks with a callback.
  const callback = typeof args.at(-1) === 'function' ? (args.pop() as Callback) : null;
  const statement: Statement = {
    application: this.connectionParameters.application_name ?? '',
    text,
    values: given as unknown[] | undefined,
    connection: this,
    send: (changed = text, values = statement.values) =>
      query.call(this, changed, values) as Promise<QueryResult>,
    aside: how.aside,
  };
  const answer = how.patch(statement).finally(() => how.answered(statement));
  if (!callback) return answer;
  callbackify(() => answer)(callback);
  return undefined;
} as typeof Client.prototype.query;
