/**
 * The cases to measure: which system, with which plan, in which group.
 *
 * @module
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { packageFile } from '../src/platform/package-files.ts';
import type { Pool } from 'pg';
import { migrate } from '../src/store/migrate.ts';
import type { Plan } from './messages.ts';
import type { MeasureOptions, SystemSpec } from './measure.ts';

export const GROUPS = ['lanes', 'express', 'latency', 'workers', 'history', 'memory', 'telemetry'] as const;
export type Group = (typeof GROUPS)[number];

export interface Case {
  /** Identifies the case in ratios and in JSON. */
  id: string;
  /** Shown in tables. */
  label: string;
  group: Group;
  spec: SystemSpec;
  plan: Plan;
  options?: MeasureOptions;
}

export interface CaseOptions {
  quick: boolean;
  peers: boolean;
  /** Number of Completed entries in the large table. It also has a tenth as many dead letters. */
  history: number;
  /** Number of commands before the second memory measurement. The first is after 10,000. */
  memory: number;
  /** Worker settings to try out, by the names of their variables. */
  settings: Record<string, string>;
}

const path = (name: string) => fileURLToPath(packageFile(name));
const PEERS = 'bench/peers';
/**
 * From npm's `node` package, because pg-boss and graphile-worker need a newer Node than this project. All systems run on
 * this Node, so that the comparison is fair.
 */
const NEW_NODE = path(`${PEERS}/node_modules/.bin/node`);

export const peersAreInstalled = () => existsSync(NEW_NODE);
export const PEERS_FOLDER = path(PEERS);

function own(name: string, module: string, settings: Record<string, string>, temporal: boolean): SystemSpec {
  return {
    name,
    module: packageFile(`dist/bench/systems/${module}.js`).href,
    host: path('dist/bench/host.js'),
    node: peersAreInstalled() ? NEW_NODE : process.execPath,
    settings,
    temporal,
  };
}

/** A peer runs from its TypeScript source; Node strips the types. */
function peer(name: string, module: string): SystemSpec {
  return {
    name,
    module: packageFile(`${PEERS}/${module}.ts`).href,
    host: path('bench/host.ts'),
    node: NEW_NODE,
    settings: {},
    temporal: false,
  };
}

const floor = own('empty workflow, eager start', 'temporal', { design: 'floor' }, true);
const three = own('three ordinary activities', 'temporal', { design: 'three' }, true);
const handWritten = own('hand-written table', 'hand-written', {}, false);
const inbox = (lane: 'workflow' | 'express' | 'recorded', way: 'A' | 'B', settings: Record<string, string>) =>
  own(`temporal-inbox, ${lane} mode`, 'inbox', { lane, way, ...settings }, true);

const PEER_SPECS = {
  graphile: peer('graphile-worker', 'graphile-worker'),
  pgboss: peer('pg-boss', 'pg-boss'),
  dbos: peer('DBOS Transact', 'dbos'),
  restate: peer('Restate', 'restate'),
};

export function makeCases({ quick, peers, history, memory, settings }: CaseOptions): Case[] {
  const workflow = inbox('workflow', 'A', settings);
  const started = inbox('workflow', 'B', settings);
  const express = inbox('express', 'A', settings);
  const recorded = inbox('recorded', 'A', { until: 'record', ...settings });
  const steady: Plan = quick
    ? { kind: 'steady', inFlight: 32, warmUpMs: 1_000, measureMs: 2_500 }
    : { kind: 'steady', inFlight: 32, warmUpMs: 3_000, measureMs: 8_000 };
  const latency: Plan = { kind: 'latency', jobs: quick ? 60 : 200, gapMs: 20 };
  const drain = (jobs: number): Plan => ({ kind: 'backlog', jobs: quick ? jobs / 10 : jobs });
  const burst: Plan = { kind: 'burst', jobs: quick ? 800 : 10_000, warmUp: quick ? 50 : 200 };
  const cases: Case[] = [
    {
      id: 'floor',
      label: 'empty workflow, eager start (the floor)',
      group: 'lanes',
      spec: floor,
      plan: steady,
    },
    {
      id: 'a-steady',
      label: 'workflow mode, sent (A), steady',
      group: 'lanes',
      spec: workflow,
      plan: steady,
    },
    {
      id: 'a-backlog',
      label: 'workflow mode, sent (A), backlog',
      group: 'lanes',
      spec: workflow,
      plan: drain(5_000),
    },
    {
      id: 'a-burst',
      label: `workflow mode, sent (A), burst of ${burst.jobs}`,
      group: 'lanes',
      spec: workflow,
      plan: burst,
    },
    {
      id: 'r-steady',
      label: 'express, recorded (A), steady',
      group: 'lanes',
      spec: recorded,
      plan: steady,
    },
    {
      id: 'r-backlog',
      label: 'express, recorded (A), backlog',
      group: 'lanes',
      spec: recorded,
      plan: drain(5_000),
    },
    {
      id: 'r-burst',
      label: `express, recorded (A), burst of ${burst.jobs}`,
      group: 'lanes',
      spec: recorded,
      plan: burst,
    },
    { id: 'b-steady', label: 'workflow mode, started (B)', group: 'lanes', spec: started, plan: steady },
    { id: 'three', label: 'three ordinary activities', group: 'lanes', spec: three, plan: steady },

    {
      id: 'hand',
      label: 'hand-written table, no recovery',
      group: 'express',
      spec: handWritten,
      plan: steady,
    },
    { id: 'express', label: 'temporal-inbox, express', group: 'express', spec: express, plan: steady },

    {
      id: 'floor-latency',
      label: 'empty workflow, eager start',
      group: 'latency',
      spec: floor,
      plan: latency,
    },
    { id: 'a-latency', label: 'workflow mode, sent (A)', group: 'latency', spec: workflow, plan: latency },
    {
      id: 'r-latency',
      label: 'express, recorded (A), to Completed',
      group: 'latency',
      spec: inbox('recorded', 'A', settings),
      plan: latency,
    },
    {
      id: 'express-latency',
      label: 'temporal-inbox, express',
      group: 'latency',
      spec: express,
      plan: latency,
    },
    { id: 'hand-latency', label: 'hand-written table', group: 'latency', spec: handWritten, plan: latency },
  ];
  for (const [id, label, more] of [
    ['untraced', 'without an SDK', {}],
    ['traced', 'traces and metrics exported', { telemetry: 'on' }],
  ] as const) {
    cases.push(
      {
        id: `express-${id}`,
        label: `express, ${label}`,
        group: 'telemetry',
        spec: inbox('express', 'A', { ...settings, ...more }),
        plan: steady,
      },
      {
        id: `a-${id}`,
        label: `workflow mode, ${label}`,
        group: 'telemetry',
        spec: inbox('workflow', 'A', { ...settings, ...more }),
        plan: steady,
      },
    );
  }
  if (peers) {
    for (const [id, spec] of Object.entries(PEER_SPECS)) {
      cases.push({ id, label: spec.name, group: 'express', spec, plan: steady });
      cases.push({ id: `${id}-latency`, label: spec.name, group: 'latency', spec, plan: latency });
    }
  }
  for (const workers of [1, 2, 4]) {
    const options = { helpers: workers - 1 };
    const label = workers === 1 ? '1 worker' : `${workers} workers`;
    cases.push(
      {
        id: `a-${workers}`,
        label: `workflow mode, ${label}`,
        group: 'workers',
        spec: workflow,
        plan: drain(4_000),
        options,
      },
      {
        id: `express-${workers}`,
        label: `express, ${label}`,
        group: 'workers',
        spec: express,
        plan: drain(30_000),
        options,
      },
    );
  }
  for (const [id, rows] of [
    ['empty', 0],
    ['full', history],
  ] as const) {
    const options = { prepare: (pool: Pool) => makeHistory(pool, rows) };
    const label =
      rows === 0
        ? 'empty table'
        : `${rows.toLocaleString('en')} Completed, ${(rows / 10).toLocaleString('en')} dead letters`;
    cases.push(
      {
        id: `a-${id}`,
        label: `workflow mode, ${label}`,
        group: 'history',
        spec: workflow,
        plan: drain(4_000),
        options,
      },
      {
        id: `express-${id}`,
        label: `express, ${label}`,
        group: 'history',
        spec: express,
        plan: drain(30_000),
        options,
      },
    );
  }
  for (const [when, jobs] of [
    ['early', 10_000],
    ['late', memory],
  ] as const) {
    const label = `after ${jobs.toLocaleString('en')} commands`;
    cases.push(
      {
        id: `a-memory-${when}`,
        label: `workflow mode, ${label}`,
        group: 'memory',
        spec: workflow,
        plan: drain(jobs),
      },
      {
        id: `express-memory-${when}`,
        label: `express, ${label}`,
        group: 'memory',
        spec: express,
        plan: drain(jobs),
      },
    );
  }
  return cases;
}

/** Returns a statement that inserts `$1` entries with this status and with ids that start with `prefix`. */
const insertEntries = (status: string, prefix: string, more: string, values: string) => `
  insert into inbox.entries (message_id, command_type, payload, status, attempt, claimed_at, fingerprint, ${more})
  select '${prefix}-' || n, 'Old', jsonb_build_object('account', n % 1000, 'amount', 1), '${status}', 1, now(),
    sha256(n::text::bytea), ${values} from generate_series(1, $1::integer) n`;

/** Fills the tables as after several months of operation, with rows like those that the inbox writes. */
async function makeHistory(pool: Pool, completed: number): Promise<void> {
  await migrate(pool);
  if (completed === 0) return;
  await pool.query(insertEntries('Completed', 'old', 'processed_at, result', `now(), '{}'`), [completed]);
  await pool.query(insertEntries('DeadLetter', 'dead', 'retry_count, error', `1, 'Broken: it is'`), [
    completed / 10,
  ]);
  await pool.query(`
    insert into inbox.dead_letters (message_id, generation, command_type, payload, metadata, error_type, error,
      failure_group, reason, retry_count)
    select message_id, 0, command_type, payload, metadata, 'Broken', error, 'Old:Broken', 'unrecoverable', 1
    from inbox.entries where status = 'DeadLetter'`);
  await pool.query('vacuum (analyze) inbox.entries, inbox.dead_letters');
  await pool.query('checkpoint');
}
