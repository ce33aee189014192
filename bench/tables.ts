/**
 * The tables of the job, the same for every system. The outbox has the same columns and indexes as `inbox.outbox`, so
 * that an event costs the same in every system. temporal-inbox writes to `inbox.outbox` itself.
 *
 * @module
 */
import type { Pool } from 'pg';
import { ACCOUNTS } from './system.ts';

export async function createTables(pool: Pool): Promise<void> {
  await pool.query(`
    create table public.accounts (id integer primary key, balance bigint not null) with (fillfactor = 50);
    insert into public.accounts select n, 0 from generate_series(1, ${ACCOUNTS}) n;
    create table public.outbox (
      id            uuid primary key default gen_random_uuid(),
      position      bigint generated always as identity,
      aggregatetype text not null,
      aggregateid   text not null,
      type          text not null,
      payload       jsonb not null,
      metadata      jsonb not null default '{}',
      message_id    text collate "C" not null,
      created_at    timestamptz not null default now(),
      published_at  timestamptz);
    create index outbox_unpublished on public.outbox (position) where published_at is null;
    create table public.handled (id text primary key);`);
}

/** Adds the job's amount to its account. */
export const ADD_TO_ACCOUNT = 'update accounts set balance = balance + $2 where id = $1';

/** Inserts the job's outbox event. */
export const WRITE_EVENT = `insert into outbox (aggregatetype, aggregateid, type, payload, message_id)
  values ('account', $1, 'AmountAdded', $2, $3)`;

/**
 * Marks the job as done, for systems that do this outside the job's transaction. A job that runs twice then still takes
 * effect only once: if no row is inserted, the job was handled before.
 */
export const MARK_HANDLED = 'insert into handled (id) values ($1) on conflict do nothing';

export interface Effects {
  /** Sum of all balances. */
  total: number;
  events: number;
  /** Number of messages with at least one event. */
  messages: number;
}

/** Reads the effects of all jobs. */
export async function readEffects(pool: Pool): Promise<Effects> {
  const inbox = await pool.query<{ there: boolean }>(
    `select to_regclass('inbox.outbox') is not null as there`,
  );
  const outbox = inbox.rows[0]!.there
    ? '(select message_id from public.outbox union all select message_id from inbox.outbox)'
    : 'public.outbox';
  const { rows } = await pool.query<{ total: string; events: string; messages: string }>(
    `select (select sum(balance) from accounts) as total, count(*) as events, count(distinct message_id) as messages
     from ${outbox} as o`,
  );
  const { total, events, messages } = rows[0]!;
  return { total: Number(total), events: Number(events), messages: Number(messages) };
}
