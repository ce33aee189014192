/**
 * Lets several processes use the same embedded servers. The first one starts a host process; see `host.ts`.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { withTimeout } from '../../platform/deadline.ts';
import { packageFile } from '../../platform/package-files.ts';
import { hasCode } from '../process/error-code.ts';
import { withFileLock } from '../process/file-lock.ts';
import { makePrivateFolder } from '../process/folders.ts';
import type { Log } from '../process/progress.ts';
import { GOODBYE } from './messages.ts';
import type { HostMessage, SharedServers } from './messages.ts';

export interface ServerLease extends SharedServers {
  /** The servers stop if nobody else uses them within a few seconds. */
  release(): Promise<void>;
}

/** A host that is about to end may still accept a connection. The next attempt starts another host. */
const TRIES = 5;

/**
 * Starts the embedded servers, or joins the processes that use them already. The environment decides which servers are
 * needed, as for `startServers`. The lease also ends with the process.
 *
 * @throws Error with the reason if a server does not start
 */
export async function leaseServers(log: Log): Promise<ServerLease> {
  const place = await findPlace();
  for (let tries = 1; ; tries += 1) {
    const socket = (await tryConnect(place.socket)) ?? (await startHost(place, log));
    const servers = await untilReady(socket, log);
    if (servers) return { ...servers, release: () => release(socket) };
    if (tries === TRIES)
      throw new Error(`the process that runs the test servers ended: ${await readLog(place)}`);
  }
}

interface Place {
  /** A Unix socket or, on Windows, a named pipe. */
  socket: string;
  lockFile: string;
  logFile: string;
}

/** Different checkouts, and environments that need different servers, have different hosts. */
async function findPlace(): Promise<Place> {
  const { DATABASE_URL, TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_CLI_PATH } = process.env;
  const wanted = [packageFile('').href, process.version, !DATABASE_URL?.trim(), !TEMPORAL_ADDRESS?.trim()];
  const key = createHash('sha256')
    .update(JSON.stringify([...wanted, TEMPORAL_NAMESPACE, TEMPORAL_CLI_PATH]))
    .digest('hex')
    .slice(0, 12);
  const folder = join(folderForSockets(), `temporal-inbox-${process.getuid?.() ?? userInfo().username}`);
  await makePrivateFolder(folder);
  return {
    socket: process.platform === 'win32' ? `\\\\.\\pipe\\temporal-inbox-${key}` : join(folder, `${key}.sock`),
    lockFile: join(folder, `${key}.lock`),
    logFile: join(folder, `${key}.log`),
  };
}

/** The path of a Unix socket has at most 103 bytes on macOS. */
function folderForSockets(): string {
  const folder = tmpdir();
  return process.platform !== 'win32' && folder.length > 60 ? '/tmp' : folder;
}

/** Returns null if no host listens there. */
async function tryConnect(path: string): Promise<Socket | null> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return socket;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ECONNREFUSED')) return null;
    throw error;
  }
}

/** Only one process starts the host; the others wait until it listens, and connect to it. */
async function startHost(place: Place, log: Log): Promise<Socket> {
  let socket: Socket | null = null;
  await withFileLock(place.lockFile, log, async () => {
    socket = await tryConnect(place.socket);
    if (socket) return;
    // A host that was killed leaves its socket.
    if (process.platform !== 'win32') await rm(place.socket, { force: true });
    await spawnHost(place);
    socket = await tryConnect(place.socket);
  });
  if (socket) return socket;
  throw new Error(`the process that runs the test servers ended: ${await readLog(place)}`);
}

async function spawnHost(place: Place): Promise<void> {
  const script = fileURLToPath(new URL('./host.js', import.meta.url));
  // These variables belong to the test process: its loaders and debugger, and its place in a run of Node's test runner.
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...env } = process.env;
  const logFile = openSync(place.logFile, 'w', 0o600);
  // Detached: a Ctrl-C in the terminal reaches the test processes only, and their connections tell the host.
  const host = spawn(process.execPath, [script, place.socket], {
    cwd: '/',
    env,
    detached: true,
    windowsHide: true,
    stdio: ['ignore', logFile, logFile, 'ipc'],
  });
  closeSync(logFile);
  await Promise.race([once(host, 'message'), once(host, 'exit')]);
  if (host.connected) host.disconnect();
  host.unref();
}

async function readLog({ logFile }: Place): Promise<string> {
  const text = await readFile(logFile, 'utf8').catch(() => '');
  return text.trim() || `see ${logFile}`;
}

/**
 * Returns null if the host ended before it was ready.
 *
 * @throws Error with the reason if a server did not start
 */
async function untilReady(socket: Socket, log: Log): Promise<SharedServers | null> {
  socket.on('error', () => {});
  const outcome = await readOutcome(socket, log);
  if (outcome?.kind !== 'ready') socket.destroy();
  if (outcome?.kind === 'failed') throw new Error(outcome.message);
  if (!outcome) return null;
  // Only a socket that is read notices its end.
  socket.resume();
  // The lease alone must not keep the process alive.
  socket.unref();
  return outcome.servers;
}

async function readOutcome(
  socket: Socket,
  log: Log,
): Promise<Exclude<HostMessage, { kind: 'progress' }> | null> {
  for await (const line of createInterface(socket)) {
    const message = JSON.parse(line) as HostMessage;
    if (message.kind !== 'progress') return message;
    log(message.line);
  }
  return null;
}

/** How long to wait until the host has closed its side, in ms. */
const GOODBYE_LIMIT_MS = 2_000;

async function release(socket: Socket): Promise<void> {
  if (socket.destroyed) return;
  const closed = once(socket, 'close');
  socket.ref();
  socket.end(GOODBYE);
  await withTimeout(
    GOODBYE_LIMIT_MS,
    () => closed,
    () => void socket.destroy(),
  );
}
