/**
 * The measurements of a soak: the processes of the running system, in /proc (so only on Linux), and Postgres.
 *
 * @module
 */
import { readdir, readFile } from 'node:fs/promises';
import type { Pool } from 'pg';
import { readHeapMegabytes } from '../support/heap-reports.ts';

export interface SoakSubject {
  pool: Pool;
  /** Process ids by the prefix of their figures. */
  pids: Record<string, number>;
  /** The folder in which the processes report their heaps. */
  heaps: string;
}

/** Returns a number for each figure: `worker_files`, `sessions_claims`, `outbox_dead` … */
export async function measure({ pool, pids, heaps }: SoakSubject): Promise<Record<string, number>> {
  const processes = Object.entries(pids).map(([name, pid]) => measureProcess(name, pid, heaps));
  return Object.assign({}, ...(await Promise.all(processes)), ...(await measurePostgres(pool))) as Record<
    string,
    number
  >;
}

async function measureProcess(name: string, pid: number, heaps: string): Promise<Record<string, number>> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const files = await readdir(`/proc/${pid}/fd`);
  const kilobytes = Number(/VmRSS:\s+(\d+)/.exec(status)![1]);
  return {
    [`${name}_megabytes`]: Math.round(kilobytes / 1_024),
    [`${name}_heap_megabytes`]: await readHeapMegabytes(heaps, pid),
    [`${name}_files`]: files.length,
  };
}

/** Measures the sessions of the worker and the relay by application, and every table of the inbox with its indexes. */
async function measurePostgres(pool: Pool): Promise<Record<string, number>[]> {
  const sessions = await pool.query<{ application: string; count: number; idle: number }>(
    `select replace(substr(application_name, 7), ' ', '_') as application, count(*)::integer as count,
       coalesce(max(extract(epoch from clock_timestamp() - state_change))
         filter (where state like 'idle in transaction%'), 0)::float8 as idle
     from pg_stat_activity where datname = current_database() and application_name like 'inbox %'
     group by application order by application`,
  );
  const tables = await pool.query<{ name: string; live: number; dead: number; kilobytes: number }>(
    `select relname as name, n_live_tup::float8 as live, n_dead_tup::float8 as dead,
       pg_total_relation_size(relid) / 1024.0::float8 as kilobytes
     from pg_stat_user_tables where schemaname = 'inbox' order by relname`,
  );
  return [
    ...sessions.rows.map(({ application, count }) => ({ [`sessions_${application}`]: count })),
    { idle_seconds: Math.round(Math.max(0, ...sessions.rows.map(({ idle }) => idle)) * 10) / 10 },
    ...tables.rows.map(({ name, live, dead, kilobytes }) => ({
      [`${name}_live`]: live,
      [`${name}_dead`]: dead,
      [`${name}_kilobytes`]: kilobytes,
    })),
  ];
}
