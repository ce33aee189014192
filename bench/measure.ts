/**
 * One measurement: runs a system with its own database and process according to a plan, and then checks its effects.
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
  /** The URL of a superuser. */
  databaseUrl: string;
  /** The process id of Postgres. Undefined: its CPU time is not measured. */
  postgresPid: number | undefined;
  temporalAddress: string;
  temporalPid: number | undefined;
}

/** How to run the process of one system. */
export interface SystemSpec {
  name: string;
  /** The system's module, as a specifier for `import`. */
  module: string;
  /** The file that the process runs. */
  host: string;
  node: string;
  settings: Record<string, string>;
  /** True if the system uses Temporal's server. */
  temporal: boolean;
}

export interface Measurement {
  /** Jobs per second. NaN for a latency plan. */
  rate: number;
  /** CPU time in ms per job. */
  cpu: { node: number; server: number; postgres: number };
  /** Time in ms until the job has finished, from the call of `send` and from its answer. */
  latencies: { fromCall: number[]; fromAnswer: number[] };
  /** Memory of the process at its end, in MB. */
  memory: number;
  /** Only with the option `profile`. */
  statements?: StatementCost[];
}

export interface MeasureOptions {
  /** Number of additional worker processes. */
  helpers?: number;
  /** Prepares the database before the system starts. */
  prepare?: (pool: Pool) => Promise<void>;
  /** A folder for CPU profiles of the process. If it is set, the cost of SQL statements is measured too. */
  profile?: string;
}

/** The cost of a statement per job, measured by Postgres. */
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
    const context = {
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
      await host.open({ kind: 'open', module: spec.module, context });
    }
    const [first, ...helpers] = hosts as [Host, ...Host[]];
    const readCpu = () => ({
      node: cpuMs(hosts.map(({ pid }) => pid)) - cpuMs(first.servers),
      server: cpuMs(spec.temporal ? [servers.temporalPid ?? -1] : first.servers),
      postgres: cpuMs([servers.postgresPid ?? -1]),
    });
    let atBegin = readCpu();
    let atEnd = atBegin;
    first.onBegin = () => (atBegin = readCpu());
    first.onEnd = () => (atEnd = readCpu());
    const helping = helpers.map((host) => host.run({ kind: 'help' }));
    const outcome = await first.run(plan);
    await Promise.all(helping);
    const memory = memoryMb(first.pid);
    for (const host of hosts) await host.stop();
    await checkEffects(database.pool, spec, outcome);
    const statements = options.profile ? await readStatements(database.pool, outcome.jobs) : undefined;
    const cpu = difference(atBegin, atEnd);
    const measurement = await toMeasurement(database.pool, spec, plan, outcome, cpu, memory);
    return { ...measurement, ...(statements && { statements }) };
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

type CpuTimes = Measurement['cpu'];

const difference = (from: CpuTimes, to: CpuTimes): CpuTimes => ({
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
  // The floor has no effects, on purpose.
  const none = effects.events === 0 && spec.settings['design'] === 'floor';
  const exact = effects.total === total && effects.events === jobs && effects.messages === jobs;
  if (countDone !== jobs || !(exact || none)) {
    const seen = `${countDone} done, ${effects.events} events for ${effects.messages} messages, and balances of ${effects.total}`;
    throw new Error(
      `the effects are wrong: expected ${jobs} jobs with a total of ${total}, but found ${seen}`,
    );
  }
}

async function toMeasurement(
  pool: Pool,
  spec: SystemSpec,
  plan: Plan,
  outcome: Outcome,
  cpu: CpuTimes,
  memory: number,
): Promise<Measurement> {
  const { jobs, counted, countedMs, timings, finishedAt } = outcome;
  const known = plan.kind === 'steady' || finishedAt !== undefined;
  const commits = known ? new Map<string, number>() : await readCommits(pool, spec);
  const measuredJobs = counted ?? timings?.length ?? jobs;
  const perJob = (ms: number) => ms / measuredJobs;
  const ends = finishedAt ?? timings?.map(({ id }) => commits.get(id) ?? Number.NaN) ?? [];
  return {
    rate: counted === undefined ? drainRate(plan, [...commits.values()]) : (counted / countedMs!) * 1_000,
    cpu: { node: perJob(cpu.node), server: perJob(cpu.server), postgres: perJob(cpu.postgres) },
    latencies: {
      fromCall: (timings ?? []).map(({ sentAt }, place) => ends[place]! - sentAt),
      fromAnswer: (timings ?? []).map(({ acceptedAt }, place) => ends[place]! - acceptedAt),
    },
    memory,
  };
}

/** Returns the most expensive statements, without those of the benchmark itself. */
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
 * Returns when each event was committed, in ms since the epoch, according to Postgres (track_commit_timestamp). For a
 * system that is measured until its commands have their workflows, returns when the workflows were noted in the entries.
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

/** Excludes the first 10 %, in which the system starts up, and the last 5 %, in which it is no longer fully loaded. */
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
      // Write dirty pages now, so that this does not happen during the next measurement.
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
    this.#child.on('message', (report: Report) => this.#handleReport(report));
    this.#child.on('exit', (code, signal) => this.#fail(`the process ended with ${code ?? signal}`));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  async open(order: Order & { kind: 'open' }): Promise<void> {
    const opened = await this.#request(order, 'opened');
    this.servers = opened.servers;
  }

  async run(plan: Plan): Promise<Outcome> {
    return (await this.#request({ kind: 'run', plan }, 'over')).outcome;
  }

  async stop(): Promise<void> {
    const killTimer = setTimeout(() => this.kill(), STOPPING_MS);
    const exited = new Promise((resolve) => this.#child.once('exit', resolve));
    await this.#request({ kind: 'stop' }, 'stopped');
    await exited;
    clearTimeout(killTimer);
  }

  kill(): void {
    this.#expected = null;
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
  }

  #request<Kind extends Report['kind']>(order: Order, kind: Kind): Promise<Report & { kind: Kind }> {
    return new Promise((resolve, reject) => {
      this.#expected = { kind, resolve: (report) => resolve(report as Report & { kind: Kind }), reject };
      this.#child.send(order);
    });
  }

  #handleReport(report: Report): void {
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
