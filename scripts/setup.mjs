/**
 * `npm start` and `npm test` run this first. It installs packages, builds, and prepares the embedded servers. It runs
 * only steps whose results are missing or out of date, so that a second run is fast and prints nothing. It has no
 * dependencies, because it runs before any are installed.
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
/** A step that takes less time than this is not reported. */
const QUIET_MS = 2_000;

/** An error that the user can fix. Its stack is not printed, because it would hide the message. */
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
    `this is Node ${process.versions.node}; install Node ${OLDEST_NODE.join('.')} or newer (https://nodejs.org)`,
  );
}

async function installPackages() {
  const wanted = describeLock();
  if (readOrNull(STAMP) === wanted) return;
  if (!installedByHand()) {
    // Remove these first, so that an interrupted install is not mistaken for a complete one.
    rmSync(STAMP, { force: true });
    rmSync(HIDDEN_LOCK, { force: true });
    // Install development packages even if NODE_ENV is production, and the optional packages, which contain binaries.
    const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];
    await step('installing packages (npm ci)', npm(args), { announce: true });
  }
  writeFileSync(STAMP, wanted);
}

/** Binary packages differ between systems, so a folder that is shared with a container is out of date in the container. */
function describeLock() {
  const hash = createHash('sha256').update(readFileSync(join(ROOT, 'package-lock.json')));
  return `${hash.digest('hex')} ${process.platform}-${process.arch}\n`;
}

/** At the end of an install, npm records the installed packages. If the record is complete, no installation is needed. */
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
  // This script cannot tell which C library npm detected. npm installs the package for one of the two, and either is fine.
  return libc === undefined && fits(os, process.platform) && fits(cpu, process.arch);
}

function fits(list, name) {
  if (list === undefined) return true;
  return list.includes(name) || (list.some((entry) => entry.startsWith('!')) && !list.includes(`!${name}`));
}

function npm(args) {
  const cli = process.env.npm_execpath;
  // Under `npm start`, npm_execpath is the running npm. Other package managers set it too, but they do not support `ci`.
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
    // The compiler trusts its build info and would not write deleted files again.
    rmSync(join(ROOT, 'dist', '.tsbuildinfo'), { force: true });
  }
  const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  await step('compiling (tsc)', { command: process.execPath, args: [compiler] });
  const bundler = join(ROOT, 'scripts', 'bundle-workflows.mjs');
  await step('bundling the workflows', { command: process.execPath, args: [bundler] });
}

/** Removes the output of deleted source files. It could otherwise still be imported or run as a test. */
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
  await step('preparing the embedded servers', { command: process.execPath, args }, { showOutput: true });
}

/**
 * Runs a command and shows that it is still running. Its output is printed if it fails. With `showOutput`, the command
 * prints directly.
 */
async function step(what, { command, args, shell = false }, { announce = false, showOutput = false } = {}) {
  const started = performance.now();
  const seconds = () => ((performance.now() - started) / 1000).toFixed(1);
  const terminal = process.stderr.isTTY && !showOutput;
  if (announce && !terminal) console.error(`${what} …`);
  const alive = () => {
    if (terminal) process.stderr.write(`\r\u001B[K${what} … ${Math.round(seconds())} s`);
    else if (!showOutput) console.error(`${what} … ${Math.round(seconds())} s`);
  };
  const timer = setInterval(alive, terminal ? 2_000 : 15_000);
  const { failure, output } = await run(command, args, shell, showOutput);
  clearInterval(timer);
  if (terminal) process.stderr.write('\r\u001B[K');
  if (failure !== null) throw new SetupError(`${output}${what} failed after ${seconds()} s: ${failure}`);
  if (announce || performance.now() - started > QUIET_MS) console.error(`${what}: done in ${seconds()} s`);
}

async function run(command, args, shell, showOutput) {
  const output = showOutput ? 'inherit' : 'pipe';
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
