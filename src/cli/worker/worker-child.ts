/**
 * One worker as the child of `inbox worker --supervise`, watched until its end.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { HEARTBEAT_MS, LIFELINE_FD, SUPERVISED_VARIABLE } from './heartbeat.ts';
import type { StopOrder, WorkerNews } from './heartbeat.ts';

export interface WorkerEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** In words: `exit code 3`, `SIGKILL`, or why it was killed or could not be started. */
  why: string;
  /** How long it worked; 0 where it never came to that. */
  workedMs: number;
  /** It said that another start would end the same way. */
  hopeless: boolean;
}

export interface WorkerChild {
  readonly pid: number | undefined;
  readonly ended: Promise<WorkerEnd>;
  /** Asks it to drain. */
  stop(signal: StopOrder['stop']): void;
  kill(signal: NodeJS.Signals): void;
}

/** Where the workflows have to be bundled, that is seconds of work without a pause, on a busy machine many. */
const SHORTEST_LIMIT_AT_START_MS = 60_000;

/** @param watchdogMs - silence after which it is killed; 0 is never */
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
      // One that is about to end may have closed the channel.
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
  // A worker that is killed may reset it.
  lifeline?.on('error', () => {});
  child.on('message', (news: WorkerNews) => {
    silentMs = 0;
    if (news === 'working') workingSince = performance.now();
    if (news === 'hopeless') hopeless = true;
  });
  // Silence is counted in ticks of our own: no time passes in a machine that sleeps, or has no time for us either.
  const ticks = setInterval(() => {
    silentMs += HEARTBEAT_MS;
    const limit = workingSince === null ? Math.max(watchdogMs, SHORTEST_LIMIT_AT_START_MS) : watchdogMs;
    if (watchdogMs === 0 || silentMs < limit) return;
    why = `killed by the watchdog: its event loop stood still for ${limit / 1_000} s`;
    child.kill('SIGKILL');
  }, HEARTBEAT_MS);
  try {
    const { code, signal } = await new Promise<Pick<WorkerEnd, 'code' | 'signal'>>((resolve) => {
      child.once('exit', (...exit) => resolve({ code: exit[0], signal: exit[1] }));
      child.on('error', (error) => {
        // Also raised by a kill that fails; only a worker that never started is over.
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
