/**
 * A small process between us and a server. It runs the server as its child and holds a channel to us: when the channel
 * closes, for whatever reason (our SIGKILL included), it stops the server. It lives in a session of its own, so the
 * terminal's Ctrl-C reaches neither of them, and a worker can drain before its servers go.
 *
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';

/** Sent to the watchdog once, first. */
export interface WatchdogOrder {
  command: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  cwd: string;
  uid?: number;
  gid?: number;
  /** Asks the server to stop. */
  stopSignal: NodeJS.Signals;
  /** After so long it gets a SIGKILL. */
  graceMs: number;
  /** Deleted after the server's end when nobody is left to do it. */
  removeWhenOrphaned: string[];
}

/** What the watchdog says. After `stop` from us, or by itself, `exit` is the last. */
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
    // Also raised by a kill that fails; only a server that never started is the end.
    if (child.pid === undefined) leave({ kind: 'failed', message: error.message });
  });
  child.once('spawn', () => report({ kind: 'started', pid: child.pid ?? 0 }));
  child.once('exit', (code, signal) => {
    if (!process.connected) removeAll(order.removeWhenOrphaned);
    leave({ kind: 'exit', code, signal });
  });

  const stop = () => stopChild(child, order);
  process.on('message', stop);
  process.on('disconnect', stop);
  // Whoever ends us by hand, or the machine going down, means the server.
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

function leave(last: WatchdogReport): void {
  report(last, () => {
    // What the command started and left behind in our process group (compilers, for one) goes with it, and so do we.
    if (process.platform !== 'win32') killOwnGroup();
    process.exit();
  });
}

function killOwnGroup(): void {
  try {
    process.kill(-process.pid, 'SIGKILL');
  } catch {
    // Not the leader of a group: then there is none to end.
  }
}

function removeAll(paths: string[]): void {
  for (const path of paths) rmSync(path, { recursive: true, force: true, maxRetries: 3 });
}
