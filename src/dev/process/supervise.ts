/**
 * Runs a server that never outlives this process.
 *
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, fstatSync, ftruncateSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isAlive } from './processes.ts';
import type { WatchdogOrder, WatchdogReport } from './watchdog.ts';

export interface SuperviseOptions {
  command: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  /** A folder that the server can enter. */
  cwd: string;
  /** The user to run as. Only root can set this. */
  user?: { uid: number; gid: number } | null;
  /** Receives all output. Not a pipe, because the server must outlive this process long enough to stop cleanly. */
  logFile: string;
  stopSignal?: NodeJS.Signals;
  /** The signal that `kill` sends. Default SIGKILL. */
  killSignal?: NodeJS.Signals;
  /** Time from the stop signal to SIGKILL. Default 10 s. */
  graceMs?: number;
  /** Paths to delete when this process dies without having stopped the server. */
  removeWhenOrphaned?: string[];
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Supervised {
  /** The server's process ID, not the watchdog's. */
  readonly pid: number;
  readonly exited: Promise<Exit>;
  /** Undefined while the server runs. */
  readonly exit: Exit | undefined;
  /** Sends the stop signal and waits until the server has exited. */
  stop(): Promise<void>;
  /** Kills the server and waits until it has exited. */
  kill(): Promise<void>;
  /** Returns the end of the log, but only what was written since this start. */
  readLog(): Promise<string>;
}

/** Root's servers may run as another user who owns the log's folder. That user must not redirect the log with a link. */
const NO_FOLLOW = process.platform === 'win32' ? 0 : constants.O_NOFOLLOW;
const LARGEST_LOG_BYTES = 10 * 1024 * 1024;
const LOG_TAIL_BYTES = 4_096;

/** Starts the server under a watchdog process. Rejects when the command cannot be started. */
export async function supervise(options: SuperviseOptions): Promise<Supervised> {
  const graceMs = options.graceMs ?? 10_000;
  const stopSignal = options.stopSignal ?? 'SIGTERM';
  const log = openLog(options.logFile);
  const watchdog = spawnWatchdog(log.fd);
  closeSync(log.fd);

  let exit: Exit | undefined;
  const exited = new Promise<Exit>((resolve) => {
    watchdog.on('message', (message: WatchdogReport) => {
      if (message.kind === 'exit') resolve({ code: message.code, signal: message.signal });
    });
    watchdog.once('close', () => {
      // The watchdog itself was killed. The server must not keep running without it.
      if (exit === undefined && pid !== undefined) signalServer(pid, stopSignal);
      resolve({ code: null, signal: null });
    });
  }).then((result) => (exit = result));

  let pid: number | undefined;
  const order: WatchdogOrder = {
    command: options.command,
    args: options.args,
    env: options.env,
    cwd: options.cwd,
    ...(options.user ? { uid: options.user.uid, gid: options.user.gid } : {}),
    stopSignal,
    graceMs,
    removeWhenOrphaned: options.removeWhenOrphaned ?? [],
  };
  pid = await startServer(watchdog, order);
  const serverPid = pid;

  async function end(signal: () => void): Promise<void> {
    if (exit !== undefined) return;
    signal();
    const timeout = new AbortController();
    const lastResort = delay(graceMs + 2_000, undefined, { signal: timeout.signal }).then(
      () => signalServer(serverPid, 'SIGKILL'),
      () => {},
    );
    await exited;
    timeout.abort();
    await lastResort;
  }

  return {
    pid: serverPid,
    exited,
    get exit() {
      return exit;
    },
    stop: () =>
      end(() => {
        if (watchdog.connected) watchdog.send('stop', () => {});
        else signalServer(serverPid, stopSignal);
      }),
    kill: () => end(() => signalServer(serverPid, options.killSignal ?? 'SIGKILL')),
    readLog: () => readTail(options.logFile, log.size),
  };
}

function spawnWatchdog(logFd: number): ChildProcess {
  const script = fileURLToPath(new URL('./watchdog.js', import.meta.url));
  // NODE_OPTIONS is removed because this process's debugger port and loaders are not meant for the watchdog.
  const { NODE_OPTIONS: _, ...env } = process.env;
  return spawn(process.execPath, [script], {
    cwd: '/',
    env,
    detached: true,
    windowsHide: true,
    stdio: ['ignore', logFd, logFd, 'ipc'],
  });
}

async function startServer(watchdog: ChildProcess, order: WatchdogOrder): Promise<number> {
  const started = new Promise<number>((resolve, reject) => {
    watchdog.once('error', reject);
    watchdog.once('close', () =>
      reject(new Error(`the watchdog process of ${order.command} ended during startup`)),
    );
    watchdog.once('message', (message: WatchdogReport) => {
      if (message.kind === 'started') resolve(message.pid);
      if (message.kind === 'failed') reject(new Error(message.message));
    });
  });
  watchdog.send(order, () => {});
  return started;
}

function signalServer(pid: number, signal: NodeJS.Signals): void {
  if (isAlive(pid)) process.kill(pid, signal);
}

function openLog(path: string): { fd: number; size: number } {
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | NO_FOLLOW, 0o600);
  const { size } = fstatSync(fd);
  if (size <= LARGEST_LOG_BYTES) return { fd, size };
  ftruncateSync(fd);
  return { fd, size: 0 };
}

async function readTail(path: string, from: number): Promise<string> {
  const file = await open(path, constants.O_RDONLY | NO_FOLLOW).catch(() => null);
  if (file === null) return '(the log can no longer be read)';
  try {
    const { size } = await file.stat();
    const start = Math.max(from, size - LOG_TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(LOG_TAIL_BYTES), 0, LOG_TAIL_BYTES, start);
    return buffer.toString('utf8', 0, bytesRead).trimEnd();
  } finally {
    await file.close();
  }
}

/** Runs a build or download with the same supervision and resolves when the command has ended. */
export async function runSupervised(
  options: SuperviseOptions,
  signal?: AbortSignal,
): Promise<Exit & { log: string }> {
  const command = await supervise(options);
  const stop = () => void command.stop();
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  const exit = await command.exited;
  signal?.removeEventListener('abort', stop);
  return { ...exit, log: await command.readLog() };
}

/** Describes an exit for messages: `exit code 1` or `SIGKILL`. */
export function describeExit(exit: Exit): string {
  if (exit.signal !== null) return exit.signal;
  return exit.code === null ? 'an unknown cause' : `exit code ${exit.code}`;
}
