/**
 * One measurement: a database of its own, a system in a process of its own, a plan, and a look at what it has left behind.
 *
 * @module
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pool } from 'pg';
import { escapeIdentifier } from 'pg';
import { createPool } from '../src/platform/postgres.ts';
import { cpuMs, memoryMb } from './cpu.ts';
import type { Order, Outcome, Plan, Report } from './messages.ts';
import { quantile } from './statistics.ts';
import { createTables, readEffects } from './tables.ts';

export interface Servers {
  /** To a database of a superuser's. */
  databaseUrl: string;
  /** The process of Postgres, where it is ours; undefined: its CPU is not measured. */
  postgresPid: number | undefined;
  temporalAddress: string;
  temporalPid: number | undefined;
}

/** How one system's process is run. */
export interface SystemSpec {
  name: string;
  /** Of its module, as `import` takes it. */
  module: string;
  /** The file that runs in the process. */
  host: string;
  node: string;
  settings: Record<string, string>;
  /** Whether Temporal's server works for it. */
  temporal: boolean;
}

export interface Measurement {
  /** Jobs a second; NaN of a latency plan. */
  rate: number;
  /** In ms for each job. */
  cpu: { node: number; server: number; postgres: number };
  /** From the sender's call to the end, and from the answer to it; in ms. */
  latencies: { fromCall: number[]; fromAnswer: number[] };
  /** Of the process, at its end, in MB. */
  memory: number;
  /** With `profile`. */
  statements?: StatementCost[];
}

export interface MeasureOptions {
  /** More processes that work with it. */
  helpers?: number;
  /** Runs in the database before the system does. */
  prepare?: (pool: Pool) => Promise<void>;
  /** A folder for CPU profiles of its process; and Postgres's statements are returned. */
  profile?: string;
}

/** What Postgres's own clock says of a statement, per job. */
export interface StatementCost {
  statement: string;
  calls: number;
  planMs: number;
  executeMs: number;
}

const STOPPING_MS = 30_000;
const IN_FLIGHT = 32;

let measured = 0;

export async function measure(
  servers: Servers,
  spec: SystemSpec,
  plan: Plan,
  options: MeasureOptions = {},
): Promise<Measurement> {
  measured += 1;
  const name = `bench_${process.pid}_${measured}`;
  const database = await createDatabase(servers.databaseUrl, name);
  const folder = await mkdtemp(join(tmpdir(), 'temporal-inbox-bench-'));
  const hosts: Host[] = [];
  try {
    await createTables(database.pool);
    await options.prepare?.(database.pool);
    if (options.profile) await database.pool.query('create extension pg_stat_statements');
    const surroundings = {
      databaseUrl: database.url,
      temporalAddress: servers.temporalAddress,
      taskQueue: `bench-${process.pid.toString(36)}-${measured}`,
      folder,
      inFlight: 'inFlight' in plan ? plan.inFlight : IN_FLIGHT,
      settings: spec.settings,
    };
    for (let place = 0; place <= (options.helpers ?? 0); place += 1) {
      const host = new Host(spec, options.profile);
      hosts.push(host);
      await host.open({ kind: 'open', module: spec.module, surroundings });
    }
    const [first, ...helpers] = hosts as [Host, ...Host[]];
    const clocks = () => ({
      node: cpuMs(hosts.map(({ pid }) => pid)) - cpuMs(first.servers),
      server: cpuMs(spec.temporal ? [servers.temporalPid ?? -1] : first.servers),
      postgres: cpuMs([servers.postgresPid ?? -1]),
    });
    let begun = clocks();
    let ended = begun;
    first.onBegin = () => (begun = clocks());
    first.onEnd = () => (ended = clocks());
    const helping = helpers.map((host) => host.run({ kind: 'help' }));
    const outcome = await first.run(plan);
    await Promise.all(helping);
    const memory = memoryMb(first.pid);
    for (const host of hosts) await host.stop();
    await checkEffects(database.pool, spec, outcome);
    const statements = options.profile ? await readStatements(database.pool, outcome.jobs) : undefined;
    const cpu = difference(begun, ended);
    const figures = await figuresOf(database.pool, spec, plan, outcome, cpu, memory);
    return { ...figures, ...(statements && { statements }) };
  } catch (error) {
    throw new Error(`${spec.name}, ${plan.kind}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  } finally {
    for (const host of hosts) host.kill();
    await database.drop();
    await rm(folder, { recursive: true, force: true });
  }
}

type Clocks = Measurement['cpu'];

const difference = (from: Clocks, to: Clocks): Clocks => ({
  node: to.node - from.node,
  server: to.server - from.server,
  postgres: to.postgres - from.postgres,
});

async function checkEffects(
  pool: Pool,
  spec: SystemSpec,
  { jobs, total, countDone }: Outcome,
): Promise<void> {
  const effects = await readEffects(pool);
  // The floor has none, on purpose.
  const none = effects.events === 0 && spec.settings['design'] === 'floor';
  const exact = effects.total === total && effects.events === jobs && effects.messages === jobs;
  if (countDone !== jobs || !(exact || none)) {
    const seen = `${countDone} done, ${effects.events} events of ${effects.messages} messages, balances of ${effects.total}`;
    throw new Error(`the effects are not exact: ${jobs} jobs with a total of ${total}, but ${seen}`);
  }
}

async function figuresOf(
  pool: Pool,
  spec: SystemSpec,
  plan: Plan,
  outcome: Outcome,
  cpu: Clocks,
  memory: number,
): Promise<Measurement> {
  const { jobs, counted, countedMs, trips, overAt } = outcome;
  const known = plan.kind === 'steady' || overAt !== undefined;
  const commits = known ? new Map<string, number>() : await readCommits(pool, spec);
  const measuredJobs = counted ?? trips?.length ?? jobs;
  const perJob = (ms: number) => ms / measuredJobs;
  const ends = overAt ?? trips?.map(({ id }) => commits.get(id) ?? Number.NaN) ?? [];
  return {
    rate: counted === undefined ? drainRate(plan, [...commits.values()]) : (counted / countedMs!) * 1_000,
    cpu: { node: perJob(cpu.node), server: perJob(cpu.server), postgres: perJob(cpu.postgres) },
    latencies: {
      fromCall: (trips ?? []).map(({ sentAt }, place) => ends[place]! - sentAt),
      fromAnswer: (trips ?? []).map(({ acceptedAt }, place) => ends[place]! - acceptedAt),
    },
    memory,
  };
}

/** The dearest, without the bench's own. */
async function readStatements(pool: Pool, jobs: number): Promise<StatementCost[]> {
  const { rows } = await pool.query<StatementCost>(
    `select regexp_replace(query, '\\s+', ' ', 'g') as statement, calls::double precision / $1::integer as calls,
       total_plan_time / $1::integer as "planMs", total_exec_time / $1::integer as "executeMs"
     from pg_stat_statements
     where dbid = (select oid from pg_database where datname = current_database()) and calls > $1::integer / 100
     order by total_plan_time + total_exec_time desc limit 15`,
    [jobs],
  );
  return rows;
}

/**
 * When each event was committed, by Postgres's own record (track_commit_timestamp), in ms since the epoch; of a system that
 * is measured until its records are there, when they were noted.
 */
async function readCommits(pool: Pool, spec: SystemSpec): Promise<Map<string, number>> {
  const inbox = await pool.query<{ there: boolean }>(
    `select to_regclass('inbox.outbox') is not null as there`,
  );
  const ofInbox = spec.settings['until'] === 'record' ? 'inbox.entries' : 'inbox.outbox';
  const table = inbox.rows[0]!.there ? ofInbox : 'outbox';
  const { rows } = await pool.query<{ id: string; at: number }>(
    `select message_id as id, (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000)::double precision as at
     from ${table}`,
  );
  return new Map(rows.map(({ id, at }) => [id, at]));
}

/** Without the beginning, when it wakes up, and the end, when not all of it has work. */
function drainRate(plan: Plan, commits: readonly number[]): number {
  if (plan.kind !== 'backlog' && plan.kind !== 'burst') return Number.NaN;
  const [from, to] = [0.1, 0.95];
  return (commits.length * (to - from) * 1_000) / (quantile(commits, to) - quantile(commits, from));
}

async function createDatabase(serverUrl: string, name: string) {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  const admin = createPool({ connectionString: serverUrl, max: 1, applicationName: 'bench' });
  await admin.query(`create database ${escapeIdentifier(name)}`);
  const pool = createPool({ connectionString: url.href, max: 2, applicationName: 'bench' });
  return {
    url: url.href,
    pool,
    async drop() {
      await pool.end();
      await admin.query(`drop database ${escapeIdentifier(name)} with (force)`);
      // Its dirty pages are not to be written in somebody else's measurement.
      await admin.query('checkpoint');
      await admin.end();
    },
  };
}

/** The process of a system. */
class Host {
  readonly #child: ChildProcess;
  readonly #spec: SystemSpec;
  #expected: {
    kind: Report['kind'];
    resolve: (report: Report) => void;
    reject: (error: Error) => void;
  } | null = null;
  servers: number[] = [];
  onBegin = (): void => {};
  onEnd = (): void => {};

  constructor(spec: SystemSpec, profile?: string) {
    this.#spec = spec;
    const execArgv = ['--expose-gc', ...(profile ? ['--cpu-prof', `--cpu-prof-dir=${profile}`] : [])];
    this.#child = fork(spec.host, [], { execPath: spec.node, execArgv, stdio: ['ignore', 2, 2, 'ipc'] });
    this.#child.on('message', (report: Report) => this.#hear(report));
    this.#child.on('exit', (code, signal) => this.#fail(`its process ended with ${code ?? signal}`));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  async open(order: Order & { kind: 'open' }): Promise<void> {
    const opened = await this.#ask(order, 'opened');
    this.servers = opened.servers;
  }

  async run(plan: Plan): Promise<Outcome> {
    return (await this.#ask({ kind: 'run', plan }, 'over')).outcome;
  }

  async stop(): Promise<void> {
    const tooLong = setTimeout(() => this.kill(), STOPPING_MS);
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    await this.#ask({ kind: 'stop' }, 'stopped');
    await exited;
    clearTimeout(tooLong);
  }

  kill(): void {
    this.#expected = null;
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
  }

  #ask<Kind extends Report['kind']>(order: Order, kind: Kind): Promise<Report & { kind: Kind }> {
    return new Promise((resolve, reject) => {
      this.#expected = { kind, resolve: (report) => resolve(report as Report & { kind: Kind }), reject };
      this.#child.send(order);
    });
  }

  #hear(report: Report): void {
    if (report.kind === 'begin') this.onBegin();
    else if (report.kind === 'end') this.onEnd();
    else if (report.kind === 'failed') this.#fail(report.error);
    else if (this.#expected?.kind === report.kind) this.#expected.resolve(report);
  }

  #fail(problem: string): void {
    this.#expected?.reject(new Error(`${this.#spec.name}: ${problem}`));
    this.#expected = null;
  }
}
