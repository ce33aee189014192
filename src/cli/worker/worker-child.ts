/**
 * Starts one worker as a child process of `inbox worker --supervise`, and watches it until it ends.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { HEARTBEAT_MS, LIFELINE_FD, SUPERVISED_VARIABLE } from './heartbeat.ts';
import type { StopOrder, WorkerMessage } from './heartbeat.ts';

export interface WorkerEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** For the log: `exit code 3`, `SIGKILL`, or why the worker was killed or could not be started. */
  why: string;
  /** How long the worker ran after it was ready, in ms. 0 if it never was. */
  workedMs: number;
  /** The worker reported that a restart would end the same way. */
  hopeless: boolean;
}

export interface WorkerChild {
  readonly pid: number | undefined;
  readonly ended: Promise<WorkerEnd>;
  /** Asks the worker to drain and end. */
  stop(signal: StopOrder['stop']): void;
  kill(signal: NodeJS.Signals): void;
}

/** Bundling the workflows at startup can block the event loop for seconds, and for longer on a busy machine. */
const SHORTEST_LIMIT_AT_START_MS = 60_000;

/** @param watchdogMs - time without a heartbeat after which the worker is killed; 0: never */
export function startWorkerChild(args: readonly string[], watchdogMs: number): WorkerChild {
  const main = fileURLToPath(new URL('../main.js', import.meta.url));
  const stdio: ('inherit' | 'ipc' | 'pipe')[] = ['inherit', 'inherit', 'inherit', 'ipc'];
  stdio[LIFELINE_FD] = 'pipe';
  const child = spawn(process.execPath, [...process.execArgv, main, ...args], {
    stdio,
    env: { ...process.env, [SUPERVISED_VARIABLE]: '1' },
  });
  return {
    pid: child.pid,
    ended: watch(child, watchdogMs),
    stop: (signal) => {
      // A worker that is about to end may have closed the channel.
      if (child.connected) child.send({ stop: signal } satisfies StopOrder, () => {});
    },
    kill: (signal) => void child.kill(signal),
  };
}

async function watch(child: ChildProcess, watchdogMs: number): Promise<WorkerEnd> {
  let workingSince: number | null = null;
  let hopeless = false;
  let silentMs = 0;
  let why: string | null = null;
  const lifeline = child.stdio[LIFELINE_FD];
  // The pipe may be reset when the worker is killed.
  lifeline?.on('error', () => {});
  child.on('message', (message: WorkerMessage) => {
    silentMs = 0;
    if (message === 'working') workingSince = performance.now();
    if (message === 'hopeless') hopeless = true;
  });
  // Count ticks of this process, not elapsed time: a suspended or overloaded machine must not look like a silent worker.
  const ticks = setInterval(() => {
    silentMs += HEARTBEAT_MS;
    const limit = workingSince === null ? Math.max(watchdogMs, SHORTEST_LIMIT_AT_START_MS) : watchdogMs;
    if (watchdogMs === 0 || silentMs < limit) return;
    why = `killed by the watchdog: its event loop was blocked for ${limit / 1_000} s`;
    child.kill('SIGKILL');
  }, HEARTBEAT_MS);
  try {
    const { code, signal } = await new Promise<Pick<WorkerEnd, 'code' | 'signal'>>((resolve) => {
      child.once('exit', (...exit) => resolve({ code: exit[0], signal: exit[1] }));
      child.on('error', (error) => {
        // A failed kill raises this too. Only a worker that never started has ended.
        if (child.pid !== undefined) return;
        why = `could not be started: ${error.message}`;
        resolve({ code: 1, signal: null });
      });
    });
    const workedMs = workingSince === null ? 0 : performance.now() - workingSince;
    return { code, signal, why: why ?? signal ?? `exit code ${code}`, workedMs, hopeless };
  } finally {
    clearInterval(ticks);
    lifeline?.destroy();
  }
}
