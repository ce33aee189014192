/**
 * `inbox.alerts`: alerts about dead letters, one per failure group, and how far each alert was delivered.
 *
 * @module
 */
import { OTHER_GROUPS } from '../core/alert.ts';
import type { AlertChannel, StoredAlert } from '../core/alert.ts';
import type { Queryable } from '../platform/queryable.ts';
import type { Due } from './retention.ts';

/**
 * Tries to take the lock for gathering alerts, and returns true if it succeeded. One transaction at a time can hold the
 * lock, until it ends. Only members of inbox_worker can take it.
 */
export async function tryLockForGathering(tx: Queryable): Promise<boolean> {
  const { rows } = await tx.query<{ mine: boolean }>(`select inbox.try_turn('alerts') as mine`);
  return rows[0]!.mine;
}

export async function hasUnalerted(db: Queryable): Promise<boolean> {
  const { rows } = await db.query<{ some: boolean }>(
    'select exists (select from inbox.dead_letters where alert_id is null) as some',
  );
  return rows[0]!.some;
}

/** The most dead letters that one statement takes: a few seconds of work on a slow machine. */
export const GATHER_LIMIT = 20_000;
/** While a group's last alert is undelivered, the group gets no new alert for this long. */
const UNDELIVERED_WINDOW_MS = 3_600_000;
/**
 * Dead letters resolved longer ago than this get no alert: alerts were off at the time, and an alert would be of no use now.
 */
const PAST_MS = 24 * 3_600_000;
const NO_ALERT = '00000000-0000-0000-0000-000000000000';

const IS_PAST = `d.resolved_at < now() - $3::float8 * interval '1 millisecond'`;

/** At most this many groups get their own alert within a window. All other groups share one alert. */
export const MAX_ALERTS_PER_WINDOW = 20;

/**
 * Creates an alert for the unalerted dead letters of each failure group, unless the group's last alert is younger than the
 * window. Beyond {@link MAX_ALERTS_PER_WINDOW}, the groups with the newest first dead letters share one alert, which
 * counts as a group: even a hostile sender who causes thousands of groups triggers only one more alert.
 *
 * This is a separate statement from the one that takes the lock, because it must see what the previous holder of the lock
 * committed.
 *
 * It finds the groups by stepping through the index from one group to the next, so a large number of dead letters in a group
 * that must wait for its window costs nothing. Dead letters locked by another transaction (a replay, a prune) are taken
 * later.
 *
 * @returns how many dead letters it took
 */
export async function gatherAlerts(
  tx: Queryable,
  { windowMs, channels }: { windowMs: number; channels: readonly AlertChannel[] },
): Promise<number> {
  const { rowCount } = await tx.query(
    `with recursive recent as materialized (
       select failure_group from inbox.alerts
       where created_at > now() - greatest($1::float8, $2::float8) * interval '1 millisecond'
         and (ended_at is null and created_at > now() - $2::float8 * interval '1 millisecond'
           or created_at > now() - $1::float8 * interval '1 millisecond')),
     room as materialized (
       select $7 - count(*) filter (where failure_group <> $8) as own,
              count(*) filter (where failure_group = $8) = 0 as shared
       from recent),
     groups as (
       (select failure_group from inbox.dead_letters
        where alert_id is null and (select own > 0 or shared from room) order by failure_group limit 1)
       union all
       select (select d.failure_group from inbox.dead_letters d
               where d.alert_id is null and d.failure_group > g.failure_group order by d.failure_group limit 1)
       from groups g where g.failure_group is not null),
     due as materialized (
       select failure_group, first_dead_at,
              first_dead_at is null
                or row_number() over (order by first_dead_at, failure_group) <= (select own from room) as own
       from groups g
       cross join lateral (
         select (select d.dead_at from inbox.dead_letters d
                 where d.alert_id is null and d.failure_group = g.failure_group and ${IS_PAST} is not true
                 order by d.dead_at limit 1) as first_dead_at) as oldest
       where g.failure_group is not null and g.failure_group not in (select failure_group from recent)),
     letters as materialized (
       select d.id, d.message_id, case when due.own then d.failure_group else $8 end as alerted_as,
              d.command_type, d.error_type, d.dead_at, d.past
       from (select * from due where own or (select shared from room)
             order by own desc, first_dead_at nulls last, failure_group) as due
       cross join lateral (
         select d.*, coalesce(${IS_PAST}, false) as past from inbox.dead_letters d
         where d.alert_id is null and d.failure_group = due.failure_group
         order by d.dead_at limit $4
         for no key update of d skip locked) as d
       limit $4),
     made as (
       insert into inbox.alerts
         (failure_group, command_type, error_type, count, first_dead_at, last_dead_at, message_ids, waiting)
       select alerted_as,
              case when alerted_as = $8 then $8 else min(command_type) end,
              case when alerted_as = $8 then $8 else min(error_type) end,
              count(*), min(dead_at), max(dead_at), (array_agg(message_id order by dead_at))[1:5], $5
       from letters where not past group by alerted_as
       returning id, failure_group)
     update inbox.dead_letters d set alert_id = coalesce(made.id, $6)
     from letters left join made on made.failure_group = letters.alerted_as and not letters.past
     where d.id = letters.id`,
    [
      windowMs,
      UNDELIVERED_WINDOW_MS,
      PAST_MS,
      GATHER_LIMIT,
      channels,
      NO_ALERT,
      MAX_ALERTS_PER_WINDOW,
      OTHER_GROUPS,
    ],
  );
  return rowCount ?? 0;
}

/** The data needed to start an alert's workflow. */
export interface AlertToStart {
  id: string;
  failureGroup: string;
  count: number;
  messageIds: string[];
}

/** Longer than any start takes. If the worker dies between gathering and starting, the alert waits this long. */
const START_LEASE_MS = 15_000;

/** Takes alerts that may have no workflow: new ones, and those whose next delivery attempt is overdue. */
export async function takeAlertsToStart(db: Queryable, limit: number): Promise<AlertToStart[]> {
  const { rows } = await db.query<AlertToStart>(
    `update inbox.alerts set due_at = now() + $2::float8 * interval '1 millisecond'
     where id = any (array(
       select id from inbox.alerts where ended_at is null and due_at <= now()
       order by due_at limit $1
       for update skip locked))
     returning id, failure_group as "failureGroup", count, message_ids as "messageIds"`,
    [limit, START_LEASE_MS],
  );
  return rows;
}

/** Not `ended_at is null`: a statement that finds one row by its key must not use the partial index of open alerts. */
const OPEN = `coalesce(ended_at, 'infinity') = 'infinity'`;

/** Makes alerts due again immediately, after Temporal could not be reached. */
export async function releaseAlerts(db: Queryable, ids: readonly string[]): Promise<void> {
  await db.query(`update inbox.alerts set due_at = now() where id = any ($1) and ${OPEN}`, [ids]);
}

export interface AlertTry {
  alert: StoredAlert;
  waiting: AlertChannel[];
  tries: number;
  /** True if delivery has been attempted for so long that this attempt is the last. */
  last: boolean;
}

/** Longer than an attempt plus the longest delay after it, so that an alert with a running workflow is not taken again. */
const TRY_LEASE_MS = 7 * 60_000;

/** Counts a delivery attempt. Returns null if nothing is left to deliver. */
export async function beginAlertTry(
  db: Queryable,
  id: string,
  stopAfterMs: number,
): Promise<AlertTry | null> {
  const { rows } = await db.query<StoredAlert & Omit<AlertTry, 'alert'>>(
    `update inbox.alerts
     set tries = tries + 1, first_tried_at = coalesce(first_tried_at, now()),
         due_at = now() + $2::float8 * interval '1 millisecond'
     where id = $1 and ${OPEN}
     returning id as "alertId", failure_group as "failureGroup", command_type as "commandType",
       error_type as "errorType", count, first_dead_at as "firstDeadAt", last_dead_at as "lastDeadAt",
       message_ids as "messageIds", created_at as "createdAt", waiting, tries,
       first_tried_at < now() - $3::float8 * interval '1 millisecond' as last`,
    [id, TRY_LEASE_MS, stopAfterMs],
  );
  const [row] = rows;
  if (!row) return null;
  const { waiting, tries, last, ...alert } = row;
  return { alert, waiting, tries, last };
}

/** Records that a channel received the alert. */
export async function noteDelivered(db: Queryable, id: string, channel: AlertChannel): Promise<void> {
  await db.query(
    `update inbox.alerts
     set waiting = array_remove(waiting, $2),
         ended_at = case when array_remove(waiting, $2) = '{}' then now() end
     where id = $1 and $2 = any (waiting)`,
    [id, channel],
  );
}

/** Records that a channel did not receive the alert. With `givenUp`, delivery is not retried automatically. */
export async function noteUndelivered(
  db: Queryable,
  id: string,
  channel: AlertChannel,
  { error, givenUp }: { error: string; givenUp: boolean },
): Promise<void> {
  await db.query(
    `update inbox.alerts
     set last_error = $3,
         waiting = case when $4 then array_remove(waiting, $2) else waiting end,
         given_up = case when $4 then array_append(given_up, $2) else given_up end,
         ended_at = case when $4 and array_remove(waiting, $2) = '{}' then now() end
     where id = $1 and $2 = any (waiting)`,
    [id, channel, error, givenUp],
  );
}

export interface UndeliveredAlerts {
  count: number;
  oldestMs: number | null;
  /** The id of the oldest alert. */
  example: string | null;
  /** How many of them are no longer retried although one of their dead letters is still open. */
  givenUp: number;
}

/** Counts alerts that have been undelivered for longer than this, and those that are no longer retried. */
export async function findUndeliveredAlerts(db: Queryable, ageMs: number): Promise<UndeliveredAlerts> {
  const { rows } = await db.query<UndeliveredAlerts>(
    `with undelivered as (
       select id, created_at, false as given_up from inbox.alerts
       where ended_at is null and created_at < now() - $1::float8 * interval '1 millisecond'
       union all
       select id, created_at, true from inbox.alerts a
       where given_up <> '{}' and exists (
         select from inbox.dead_letters d where d.alert_id = a.id and d.resolution is null))
     select count(*)::float8 as count, (extract(epoch from now() - min(created_at)) * 1000)::float8 as "oldestMs",
            (array_agg(id order by created_at))[1] as example, (count(*) filter (where given_up))::float8 as "givenUp"
     from undelivered`,
    [ageMs],
  );
  return rows[0]!;
}

/** Reads the next page of alerts; those that ended long enough ago are due. Their dead letters may be older or newer. */
export async function walkAlerts(
  db: Queryable,
  due: Due,
  after: string,
  limit: number,
): Promise<{ id: string; due: boolean }[]> {
  const { rows } = await db.query<{ id: string; due: boolean }>(
    `select id, coalesce(ended_at < $1::timestamptz, false) as due
     from inbox.alerts where id > $2 and id < $3 order by id limit $4`,
    [due.before, after, due.below, limit],
  );
  return rows;
}

export async function deleteAlerts(tx: Queryable, due: Due, ids: string[]): Promise<number> {
  const { rows } = await tx.query<{ count: number }>(
    'select inbox.delete_alerts($1::uuid[], $2::timestamptz) as count',
    [ids, due.before],
  );
  return rows[0]!.count;
}
