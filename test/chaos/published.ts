/**
 * The invariants of published events. Each is a query over the outbox and the events that the broker accepted
 * (`chaos.published`).
 *
 * @module
 */
import type { Pool } from 'pg';
import type { Invariant } from './checker.ts';

/** The first acceptance of each event. The broker may get an event again. */
const FIRST = `(select event_id, min(seq) as seq from chaos.published group by event_id) as first`;

export const PUBLISHED_INVARIANTS: readonly Invariant[] = [
  {
    name: '15a every event was published and is marked as published',
    sql: `select o.message_id, o.id, o.published_at, first.seq from inbox.outbox o left join ${FIRST} on event_id = o.id
          where o.published_at is null or first.seq is null`,
  },
  {
    name: '15b every published event was committed, with the same fields',
    sql: `select p.event_id, p.aggregateid from chaos.published p left join inbox.outbox o
            on (o.id, o.position, o.aggregatetype, o.aggregateid, o.type)
               = (p.event_id, p.position, p.aggregatetype, p.aggregateid, p.type)
          where o.id is null`,
  },
  {
    name: '15c the events of each aggregate were published in order',
    sql: `select message_id, aggregateid, position, seq, earlier from (
            select o.message_id, o.aggregateid, o.position, first.seq, max(first.seq) over (
              partition by o.aggregatetype, o.aggregateid order by o.position
              rows between unbounded preceding and 1 preceding) as earlier
            from inbox.outbox o join ${FIRST} on event_id = o.id) as ordered
          where seq < earlier`,
  },
  {
    name: '15d no aggregate is parked once the broker accepts everything',
    sql: 'select id, event_id, attempts, error from inbox.outbox_parked',
  },
];

/** True when every event is marked as published and no aggregate is parked. Wait for this before checking the invariants. */
export async function isAllPublished(pool: Pool): Promise<boolean> {
  const { rows } = await pool.query<{ all: boolean }>(
    `select not exists (select from inbox.outbox where published_at is null)
        and not exists (select from inbox.outbox_parked) as all`,
  );
  return rows[0]!.all;
}
