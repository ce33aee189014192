/**
 * A small process between the owner and a server. It runs the server as its child and has an IPC channel to the owner.
 * When the channel closes for any reason, including a SIGKILL of the owner, the watchdog stops the server. The watchdog
 * runs in its own session, so Ctrl-C in the terminal reaches neither it nor the server, and a worker can drain before its
 * servers stop.
 *
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';

/** The first message to the watchdog, sent once. */
export interface WatchdogOrder {
  command: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  uid?: number;
  gid?: number;
  /** The signal that asks the server to stop. */
  stopSignal: NodeJS.Signals;
  /** Time from the stop signal to SIGKILL. */
  graceMs: number;
  /** Paths to delete after the server has exited, if the owner is dead and cannot delete them. */
  removeWhenOrphaned: string[];
}

/** A message from the watchdog. `exit` is the last one, whether the owner sent `stop` or the server ended on its own. */
export type WatchdogReport =
  | { kind: 'started'; pid: number }
  | { kind: 'failed'; message: string }
  | { kind: 'exit'; code: number | null; signal: NodeJS.Signals | null };

process.once('message', (message: WatchdogOrder) => run(message));

function run(order: WatchdogOrder): void {
  const { command, args, env, cwd, uid, gid } = order;
  const child = spawn(command, args, {
    env,
    cwd,
    stdio: ['ignore', 'inherit', 'inherit'],
    ...(uid === undefined || gid === undefined ? {} : { uid, gid }),
  });
  child.once('error', (error) => {
    // A failed kill raises this event too. Exit only if the server never started.
    if (child.pid === undefined) exitAfterReport({ kind: 'failed', message: error.message });
  });
  child.once('spawn', () => report({ kind: 'started', pid: child.pid ?? 0 }));
  child.once('exit', (code, signal) => {
    if (!process.connected) removeAll(order.removeWhenOrphaned);
    exitAfterReport({ kind: 'exit', code, signal });
  });

  const stop = () => stopChild(child, order);
  process.on('message', stop);
  process.on('disconnect', stop);
  // A signal from a person or from a machine shutdown is meant for the server too.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
}

function stopChild(child: ChildProcess, order: WatchdogOrder): void {
  child.kill(order.stopSignal);
  setTimeout(() => child.kill('SIGKILL'), order.graceMs).unref();
}

function report(message: WatchdogReport, sent: () => void = () => {}): void {
  if (process.connected) process.send?.(message, sent);
  else sent();
}

function exitAfterReport(last: WatchdogReport): void {
  report(last, () => {
    // Kill this process group: processes that the command left behind (compilers, for example) and the watchdog itself.
    if (process.platform !== 'win32') killOwnGroup();
    process.exit();
  });
}

function killOwnGroup(): void {
  try {
    process.kill(-process.pid, 'SIGKILL');
  } catch {
    // The watchdog does not lead a process group, so there is none to kill.
  }
}

function removeAll(paths: string[]): void {
  for (const path of paths) rmSync(path, { recursive: true, force: true, maxRetries: 3 });
}
