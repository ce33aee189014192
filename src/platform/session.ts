/**
 * Reads and sets the settings of a session, and detects poolers.
 *
 * @module
 */
import type { ClientBase } from 'pg';
import type { PinnedSettings, PinnedValue } from './connection-settings.ts';
import type { Queryable } from './queryable.ts';

export interface SessionFacts {
  /** The connection goes through a pooler: the backend is not the one that was announced when the connection started. */
  pooled: boolean;
  /** The settings whose values in the session are not the pinned ones. */
  differing: PinnedSettings;
}

/** The settings to pin, without those that this Postgres version lacks or whose current value must be kept (`insteadOf`). */
const WANTED = `rows from (pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::text[]))
    as wanted (name, value, instead_of)
  where pg_catalog.current_setting(name, true) is not null
    and (instead_of = ''::text or pg_catalog.current_setting(name, true) = instead_of)`;

/**
 * Pins the settings for the session, unless the connection goes through a pooler: the next client of the server connection
 * would inherit them.
 *
 * @param backend - the backend that was announced when the connection started
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

/** Returns the settings that a transaction must begin with. Changes nothing. */
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
 * A statement without parameters, so that it can be sent in one message with BEGIN. It skips settings that this version of
 * Postgres does not have.
 */
export function setInTransaction(client: ClientBase, settings: PinnedSettings): string {
  const [names, values, insteadOf] = columns(settings).map((column) =>
    column.map((value) => client.escapeLiteral(value)).join(', '),
  );
  return `select pg_catalog.set_config(name, value, true)
    from ${WANTED.replace('$2', `array[${names}]`).replace('$3', `array[${values}]`).replace('$4', `array[${insteadOf}]`)}`;
}

/** No value is an empty text: with array_nulls off, null in an array would become the word NULL. */
function columns(settings: PinnedSettings): [string[], string[], string[]] {
  const pinned = Object.entries(settings);
  return [
    pinned.map(([name]) => name),
    pinned.map(([, value]) => valueOf(value)),
    pinned.map(([, value]) => (typeof value === 'string' ? '' : value.insteadOf)),
  ];
}

const valueOf = (value: PinnedValue) => (typeof value === 'string' ? value : value.value);
