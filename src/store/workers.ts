/**
 * `inbox.workers`: which workers are running, and which command types each of them knows.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

export interface RunningWorker {
  /** The identity in Temporal's list of pollers. */
  identity: string;
  namespace: string;
  taskQueue: string;
  buildId: string | null;
  commandTypes: readonly string[];
}

/** A worker renews its row this often. */
export const HEARTBEAT_MS = 10_000;
/** A row that has not been renewed for this long belongs to a dead worker. */
export const ALIVE_FOR_MS = 3 * HEARTBEAT_MS;

/** A condition on a row of `inbox.workers`. */
export const IS_ALIVE = `seen_at > now() - ${ALIVE_FOR_MS}::float8 * interval '1 millisecond'`;

/** Inserts or renews the row of a worker. */
export async function noteWorker(db: Queryable, id: string, worker: RunningWorker): Promise<void> {
  await db.query(
    `insert into inbox.workers (id, identity, namespace, task_queue, build_id, command_types, typed_workflows)
     values ($1, $2, $3, $4, $5, $6, true)
     on conflict (id) do update set seen_at = now()`,
    [id, worker.identity, worker.namespace, worker.taskQueue, worker.buildId, worker.commandTypes],
  );
}

/**
 * Returns whether a worker of an earlier release polls this task queue: one that cannot run workflows whose type is the
 * command's type.
 */
export async function hasOlderWorkers(
  db: Queryable,
  { namespace, taskQueue }: Pick<RunningWorker, 'namespace' | 'taskQueue'>,
): Promise<boolean> {
  const { rows } = await db.query<{ found: boolean }>(
    `select exists (select from inbox.workers
       where ${IS_ALIVE} and namespace = $1 and task_queue = $2 and not typed_workflows) as found`,
    [namespace, taskQueue],
  );
  return rows[0]!.found;
}

/** Removes the row of a worker that is stopping, and the rows of workers that died more than a day ago. */
export async function removeWorker(db: Queryable, id: string): Promise<void> {
  await db.query('select inbox.remove_workers($1::uuid)', [id]);
}

/** Returns the task queues of the running workers in this namespace that know this command type. */
export async function findTaskQueuesOf(
  db: Queryable,
  commandType: string,
  namespace: string,
): Promise<string[]> {
  const { rows } = await db.query<{ taskQueue: string }>(
    `select distinct task_queue as "taskQueue" from inbox.workers
     where ${IS_ALIVE} and $1 = any (command_types) and namespace = $2 order by 1`,
    [commandType, namespace],
  );
  return rows.map(({ taskQueue }) => taskQueue);
}

export interface LiveWorker extends RunningWorker {
  startedAt: Date;
  seenAt: Date;
}

/** Lists the workers that renewed their row recently, oldest first. */
export async function listLiveWorkers(db: Queryable): Promise<LiveWorker[]> {
  const { rows } = await db.query<LiveWorker>(
    `select identity, namespace, task_queue as "taskQueue", build_id as "buildId", command_types as "commandTypes",
            started_at as "startedAt", seen_at as "seenAt"
     from inbox.workers where ${IS_ALIVE} order by started_at, identity`,
  );
  return rows;
}

/** Open commands of a type that no running worker knows. */
export interface UnknownType {
  commandType: string;
  /** How many are waiting; at most `MAX_COUNTED` of each status are counted. */
  count: number;
  oldestMs: number;
  /** The message_id of the one that was received first. */
  example: string;
}

/** Further entries of a status are not counted. */
export const MAX_COUNTED = 10_000;

/** The distinct command types of a status, with one index probe per type, however many entries are waiting. */
export const typesOfStatus = (status: string) => `
  (with recursive types as (
     (select command_type from inbox.entries where status = '${status}' order by command_type limit 1)
     union all
     select (select command_type from inbox.entries
             where status = '${status}' and command_type > types.command_type order by command_type limit 1)
     from types where types.command_type is not null)
   select command_type from types where command_type is not null)`;

/** Finds the types of open commands that no running worker knows; the type with the oldest command comes first. */
export async function findUnknownTypes(db: Queryable): Promise<UnknownType[]> {
  const { rows } = await db.query<UnknownType>(
    `with known as materialized (select distinct unnest(command_types) as command_type from inbox.workers where ${IS_ALIVE}),
     open as (
       select command_type from (${typesOfStatus('Pending')} union ${typesOfStatus('Failed')} union ${typesOfStatus('Processing')}) as types
       where command_type not in (select command_type from known))
     select open.command_type as "commandType", count(*)::float8 as count,
            (extract(epoch from now() - min(waiting.received_at)) * 1000)::float8 as "oldestMs",
            (array_agg(waiting.message_id order by waiting.received_at))[1] as example
     from open cross join lateral (
       (select message_id, received_at from inbox.entries
        where status = 'Pending' and command_type = open.command_type order by received_at limit ${MAX_COUNTED})
       union all
       (select message_id, received_at from inbox.entries
        where status = 'Failed' and command_type = open.command_type order by next_retry_at limit ${MAX_COUNTED})
       union all
       (select message_id, received_at from inbox.entries
        where status = 'Processing' and command_type = open.command_type order by claimed_at limit ${MAX_COUNTED})
     ) as waiting
     group by open.command_type order by 3 desc`,
  );
  return rows;
}
