/**
 * `npm run bench`: compares temporal-inbox in its three modes with an empty Temporal workflow (the floor), with the obvious
 * Temporal design, and with other queues. All cases run on real servers, one after the other, in interleaved rounds.
 *
 * @module
 */
import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { readTemporal } from '../src/temporal/connection-config.ts';
import { startPostgresServer } from '../src/dev/postgres/server.ts';
import { startTemporalServer } from '../src/dev/temporal/server.ts';
import { SEARCH_ATTRIBUTES } from '../src/core/protocol.ts';
import { packageFile } from '../src/platform/package-files.ts';
import { GROUPS, makeCases, PEERS_FOLDER, peersAreInstalled } from './cases.ts';
import type { Case, Group } from './cases.ts';
import { measure } from './measure.ts';
import type { Measurement, Servers, StatementCost } from './measure.ts';
import { renderPlot } from './plot.ts';
import { startProductionServer } from '../test/support/production-server.ts';
import { renderReport, summarize } from './report.ts';
import type { Results } from './report.ts';

interface Options {
  quick?: true;
  rounds: number;
  only: string[];
  cases: string[];
  peers: boolean;
  server: 'embedded' | 'production';
  history: number;
  memory: number;
  set: string[];
  json?: string;
  from?: string[];
  docs?: true;
  profile?: string;
}

const printLine = (line: string) => void process.stderr.write(`${line}\n`);
const list = (text: string) => text.split(',');
const DEFAULT_GROUPS: Group[] = ['lanes', 'express', 'latency'];

const program = new Command('bench')
  .description('compares temporal-inbox with an empty workflow, the obvious Temporal design and other queues')
  .option('--quick', 'one short round in under 3 minutes; the results are only approximate')
  .option('--rounds <n>', 'number of rounds; each round measures every case once', Number, 3)
  .option('--only <groups>', `only these groups: ${GROUPS.join(', ')}`, list, DEFAULT_GROUPS)
  .option('--cases <ids>', 'only these cases, in any group', list, [])
  .option('--no-peers', 'skip other systems (otherwise npm installs them in bench/peers)')
  .addOption(
    new Option(
      '--server <kind>',
      'the Temporal server to start if TEMPORAL_ADDRESS is not set; production: the real server with its data in Postgres',
    )
      .choices(['embedded', 'production'])
      .default('embedded'),
  )
  .option('--history <n>', 'number of Completed entries in the large table', Number, 10_000_000)
  .option('--memory <n>', 'number of commands before the second memory measurement', Number, 100_000)
  .option(
    '--set <name=value>',
    'a setting for the workers, such as INBOX_CONCURRENCY=64 (repeatable)',
    (text, all: string[]) => [...all, text],
    [],
  )
  .option(
    '--profile <folder>',
    'write CPU profiles of Node into this folder, and print the cost of each SQL statement; slows down both',
  )
  .option('--json <file>', 'write all measurements to this file')
  .option(
    '--from <files>',
    'measure nothing; report the measurements in these files, written by --json',
    list,
  )
  .option('--docs', 'write the tables and the plot to docs/performance.md');

/** Always starts its own Postgres. DATABASE_URL is ignored, so that the benchmark never runs in an existing database. */
async function startServers({ server, profile }: Options): Promise<Servers & { stop(): Promise<void> }> {
  const postgres = await startPostgresServer({
    settings: {
      track_commit_timestamp: 'on',
      shared_buffers: '512MB',
      // A checkpoint during a measurement would distort its result.
      max_wal_size: '8GB',
      checkpoint_timeout: '30min',
      ...(profile && {
        shared_preload_libraries: 'pg_stat_statements',
        'pg_stat_statements.track_planning': 'on',
      }),
    },
  });
  const common = { databaseUrl: postgres.url, postgresPid: postgres.pid };
  if (process.env['TEMPORAL_ADDRESS']) {
    const { connectionOptions } = readTemporal();
    return {
      ...common,
      temporalAddress: connectionOptions.address!,
      temporalPid: undefined,
      stop: () => postgres.stop(),
    };
  }
  try {
    const temporal = await startTemporal(server, postgres.url);
    return {
      ...common,
      temporalAddress: temporal.address,
      temporalPid: temporal.pid,
      async stop() {
        await temporal.stop();
        await postgres.stop();
      },
    };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

async function startTemporal(kind: Options['server'], databaseUrl: string) {
  const searchAttributes = Object.values(SEARCH_ATTRIBUTES);
  if (kind === 'embedded') return startTemporalServer({ searchAttributes, uiPort: null, log: printLine });
  return startProductionServer({ databaseUrl, searchAttributes, log: printLine });
}

function installPeers(): void {
  if (peersAreInstalled()) return;
  printLine('installing the other systems in bench/peers (only once)');
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: PEERS_FOLDER,
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0)
    throw new Error('npm ci failed in bench/peers; run it manually, or run the benchmark with --no-peers');
}

function selectCases(options: Options): Case[] {
  const settings = Object.fromEntries(options.set.map((text) => text.split('=', 2) as [string, string]));
  const all = makeCases({ ...options, quick: options.quick === true, settings });
  const chosen =
    options.cases.length > 0
      ? all.filter(({ id }) => options.cases.includes(id))
      : all.filter(({ group }) => options.only.includes(group));
  if (chosen.length === 0)
    throw new Error(`no case selected; the cases are: ${all.map(({ id }) => id).join(', ')}`);
  return chosen;
}

async function measureAll(
  servers: Servers,
  cases: readonly Case[],
  rounds: number,
  profile?: string,
): Promise<Results> {
  const results: Results = new Map(cases.map(({ id }) => [id, []]));
  for (let round = 0; round < rounds; round += 1) {
    // Each round starts with a different case, because the position in a round can influence a result.
    const shift = Math.floor((cases.length * round) / rounds);
    for (const item of [...cases.slice(shift), ...cases.slice(0, shift)]) {
      const options = { ...item.options, ...(profile && { profile }) };
      const measured = await measure(servers, item.spec, item.plan, options);
      results.get(item.id)!.push(measured);
      printLine(`round ${round + 1} of ${rounds}: ${item.label}: ${describeMeasurement(measured)}`);
      for (const cost of measured.statements ?? []) printLine(describeCost(cost));
    }
  }
  return results;
}

function describeMeasurement({ rate, cpu, latencies, memory }: Measurement): string {
  const { median } = summarize(latencies.fromCall);
  const speed = Number.isNaN(rate) ? `${median.toFixed(2)} ms` : `${rate.toFixed(0)}/s`;
  const ms = [cpu.node, cpu.server, cpu.postgres].map((value) => value.toFixed(2)).join(' / ');
  return `${speed}, CPU ms ${ms}, ${memory.toFixed(0)} MB`;
}

function describeCost({ statement, calls, planMs, executeMs }: StatementCost): string {
  const figures = [calls.toFixed(2), planMs.toFixed(3), executeMs.toFixed(3)].join(' ');
  return `  calls, planning ms, execution ms: ${figures}  ${statement.slice(0, 110)}`;
}

async function run(options: Options): Promise<{ cases: readonly Case[]; results: Results }> {
  if (options.from) return readMeasurements(options.from);
  if (options.peers) installPeers();
  const cases = selectCases(options);
  const servers = await startServers(options);
  try {
    const rounds = options.quick ? 1 : options.rounds;
    return { cases, results: await measureAll(servers, cases, rounds, options.profile) };
  } finally {
    await servers.stop();
  }
}

/** Restores NaN, which JSON.stringify writes as null. */
const reviveNaN = (_key: string, value: unknown) => (value === null ? Number.NaN : value);

async function readMeasurements(files: readonly string[]) {
  const cases: Case[] = [];
  const results: Results = new Map();
  for (const file of files) {
    const saved = JSON.parse(await readFile(file, 'utf8'), reviveNaN) as {
      cases: Case[];
      results: Record<string, Measurement[]>;
    };
    for (const item of saved.cases) {
      if (!results.has(item.id)) cases.push(item);
      results.set(item.id, [...(results.get(item.id) ?? []), ...saved.results[item.id]!]);
    }
  }
  return { cases, results };
}

const DOCS = packageFile('docs/performance.md');
const PLOT = packageFile('docs/performance.svg');
const MEASURED = /(<!-- measured -->\n)[^]*(\n<!-- \/measured -->)/;

async function writeDocs(report: string, plot: string): Promise<void> {
  const page = await readFile(DOCS, 'utf8');
  await writeFile(
    DOCS,
    page.replace(MEASURED, (_all, begin: string, end: string) => `${begin}\n${report}${end}`),
  );
  await writeFile(PLOT, plot);
}

const options = program.parse().opts<Options>();
const { cases, results } = await run(options);
const report = renderReport(cases, results);
process.stdout.write(report);
if (options.docs) await writeDocs(report, renderPlot(cases, results));
if (options.json) {
  await writeFile(options.json, JSON.stringify({ cases, results: Object.fromEntries(results) }, null, 1));
}
