/**
 * The settings and the kind of a session.
 *
 * @module
 */
import type { ClientBase } from 'pg';
import type { PinnedSettings, PinnedValue } from './connection-settings.ts';
import type { Queryable } from './queryable.ts';

export interface SessionFacts {
  /** The backend is not the one that this connection was told of: a pooler is in between. */
  pooled: boolean;
  /** The settings that the session does not have by itself. */
  differing: PinnedSettings;
}

/** What Postgres calls the setting's value now; null where this version has no such setting. */
const WANTED = `rows from (pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::text[]))
    as wanted (name, value, instead_of)
  where pg_catalog.current_setting(name, true) is not null
    and (instead_of = ''::text or pg_catalog.current_setting(name, true) = instead_of)`;

/**
 * Makes them the session's, unless a pooler is in between: then a later client of that server connection would have them.
 * `backend`: the one that the connection was told of.
 */
export async function pinSession(
  db: Queryable | ClientBase,
  settings: PinnedSettings,
  backend: number,
): Promise<SessionFacts> {
  const { rows } = await db.query<{ pooled: boolean }>(
    `with session as materialized (select pg_catalog.pg_backend_pid() operator(pg_catalog.<>) $1::integer as pooled),
     pinned as materialized (
       select pg_catalog.set_config(name, value, false) from session, ${WANTED} and not session.pooled)
     select pooled from session, (select pg_catalog.count(*) from pinned) as pins`,
    [backend, ...columns(settings)],
  );
  return { pooled: rows[0]!.pooled, differing: {} };
}

/** Changes nothing, and says which settings a transaction has to begin with. */
export async function readDifferingSettings(
  db: Queryable | ClientBase,
  settings: PinnedSettings,
  backend: number,
): Promise<SessionFacts> {
  const { rows } = await db.query<{ pooled: boolean; names: string[] }>(
    `select pg_catalog.pg_backend_pid() operator(pg_catalog.<>) $1::integer as pooled,
       array(select name from ${WANTED} and pg_catalog.current_setting(name, true) <> value) as names`,
    [backend, ...columns(settings)],
  );
  const { pooled, names } = rows[0]!;
  return { pooled, differing: Object.fromEntries(names.map((name) => [name, settings[name]!])) };
}

/**
 * A statement without parameters, so that it can travel in one message with BEGIN. Settings that this version of Postgres does
 * not have are passed over.
 */
export function setInTransaction(client: ClientBase, settings: PinnedSettings): string {
  const [names, values, insteadOf] = columns(settings).map((column) =>
    column.map((value) => client.escapeLiteral(value)).join(', '),
  );
  return `select pg_catalog.set_config(name, value, true)
    from ${WANTED.replace('$2', `array[${names}]`).replace('$3', `array[${values}]`).replace('$4', `array[${insteadOf}]`)}`;
}

/** Empty text for no value: with array_nulls off, null in an array would be the word NULL. */
function columns(settings: PinnedSettings): [string[], string[], string[]] {
  const pinned = Object.entries(settings);
  return [
    pinned.map(([name]) => name),
    pinned.map(([, value]) => valueOf(value)),
    pinned.map(([, value]) => (typeof value === 'string' ? '' : value.insteadOf)),
  ];
}

const valueOf = (value: PinnedValue) => (typeof value === 'string' ? value : value.value);
