/**
 * `npm start` and `npm test` run this first: packages, build, embedded servers. Only what is missing or out of date is
 * done, so that a second run is quick and quiet. No dependencies: it runs before there are any.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const OLDEST_NODE = [20, 3];
const STAMP = join(ROOT, 'node_modules', '.temporal-inbox-setup');
const HIDDEN_LOCK = join(ROOT, 'node_modules', '.package-lock.json');
/** A step that took less has nothing to report. */
const QUIET_MS = 2_000;

/** Something that the reader can do something about; a stack would only hide it. */
class SetupError extends Error {}

try {
  checkNode();
  await installPackages();
  await build();
  await prepareServers();
} catch (error) {
  console.error(error instanceof SetupError ? error.message : error);
  process.exitCode = 1;
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  throw new SetupError(
    `this is Node ${process.versions.node}; ${OLDEST_NODE.join('.')} or newer is needed (https://nodejs.org)`,
  );
}

async function installPackages() {
  const wanted = describeLock();
  if (readOrNull(STAMP) === wanted) return;
  if (!installedByHand()) {
    // An install that is interrupted from here on leaves nothing that looks complete.
    rmSync(STAMP, { force: true });
    rmSync(HIDDEN_LOCK, { force: true });
    // Development packages are needed also where NODE_ENV is production; so are the optional ones, which are binaries.
    const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];
    await step('installing packages (npm ci)', npm(args), { announce: true });
  }
  writeFileSync(STAMP, wanted);
}

/** Binary packages differ between systems: a folder shared with a container is out of date there. */
function describeLock() {
  const hash = createHash('sha256').update(readFileSync(join(ROOT, 'package-lock.json')));
  return `${hash.digest('hex')} ${process.platform}-${process.arch}\n`;
}

/** npm notes at the end of an install what it has put there; a complete note is as good as our stamp. */
function installedByHand() {
  const installed = JSON.parse(readOrNull(HIDDEN_LOCK) ?? '{"packages":{}}').packages;
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  return Object.entries(packages).every(([path, locked]) => {
    if (path === '') return true;
    const found = installed[path];
    if (found !== undefined) return found.integrity === locked.integrity;
    return locked.optional === true && !runsHere(locked);
  });
}

function readOrNull(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}

function runsHere({ os, cpu, libc }) {
  // Which C library this is, is npm's secret; it installs one of the two, and either will do.
  return libc === undefined && fits(os, process.platform) && fits(cpu, process.arch);
}

function fits(list, name) {
  if (list === undefined) return true;
  return list.includes(name) || (list.some((entry) => entry.startsWith('!')) && !list.includes(`!${name}`));
}

function npm(args) {
  const cli = process.env.npm_execpath;
  // Under `npm start` this is the npm that runs us; another package manager's would not know `ci`.
  if (cli && /npm-cli\.[cm]?js$/.test(cli)) return { command: process.execPath, args: [cli, ...args] };
  return { command: 'npm', args, shell: process.platform === 'win32' };
}

async function build() {
  const folders = JSON.parse(readFileSync(join(ROOT, 'tsconfig.json'), 'utf8')).include;
  const sources = folders.flatMap((folder) => listFiles(folder)).filter((path) => /(?<!\.d)\.ts$/.test(path));
  const outputs = folders.flatMap((folder) => listFiles(join('dist', folder)));
  removeStale(new Set(sources), outputs);
  const built = new Set(outputs);
  if (!sources.every((source) => built.has(join('dist', source.replace(/\.ts$/, '.js'))))) {
    // The compiler believes its notes and would not write again what was deleted.
    rmSync(join(ROOT, 'dist', '.tsbuildinfo'), { force: true });
  }
  const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  await step('compiling (tsc)', { command: process.execPath, args: [compiler] });
  const bundler = join(ROOT, 'scripts', 'bundle-workflows.mjs');
  await step('bundling the workflows', { command: process.execPath, args: [bundler] });
}

/** The output of a source that has gone would still be run as a test, or be imported. */
function removeStale(sources, outputs) {
  for (const output of outputs) {
    const source = output.slice('dist/'.length).replace(/(\.d\.ts|\.js|\.js\.map)$/, '.ts');
    if (extname(source) === '.ts' && !sources.has(source)) rmSync(join(ROOT, output), { force: true });
  }
}

function listFiles(folder) {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? listFiles(path) : [path];
  });
}

async function prepareServers() {
  const args = [join(ROOT, 'dist', 'src', 'dev', 'prepare.js')];
  await step('preparing the embedded servers', { command: process.execPath, args }, { speaks: true });
}

/**
 * Runs a command to its end and shows that it is alive. Its output is shown when it fails, or at once when it speaks
 * for itself.
 */
async function step(what, { command, args, shell = false }, { announce = false, speaks = false } = {}) {
  const started = performance.now();
  const seconds = () => ((performance.now() - started) / 1000).toFixed(1);
  const terminal = process.stderr.isTTY && !speaks;
  if (announce && !terminal) console.error(`${what} …`);
  const alive = () => {
    if (terminal) process.stderr.write(`\r\u001B[K${what} … ${Math.round(seconds())} s`);
    else if (!speaks) console.error(`${what} … ${Math.round(seconds())} s`);
  };
  const timer = setInterval(alive, terminal ? 2_000 : 15_000);
  const { failure, output } = await run(command, args, shell, speaks);
  clearInterval(timer);
  if (terminal) process.stderr.write('\r\u001B[K');
  if (failure !== null) throw new SetupError(`${output}${what} failed after ${seconds()} s: ${failure}`);
  if (announce || performance.now() - started > QUIET_MS) console.error(`${what}: done in ${seconds()} s`);
}

async function run(command, args, shell, speaks) {
  const output = speaks ? 'inherit' : 'pipe';
  const child = spawn(command, args, { cwd: ROOT, shell, stdio: ['ignore', output, output] });
  const chunks = [];
  child.stdout?.on('data', (chunk) => chunks.push(chunk));
  child.stderr?.on('data', (chunk) => chunks.push(chunk));
  const failure = await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(code === 0 ? null : (signal ?? `exit code ${code}`)));
  });
  return { failure, output: Buffer.concat(chunks).toString() };
}
