/**
 * A worker in a separate process, so that tests can kill it.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { hasEnded } from './child-process.ts';
import { eventually } from './wait.ts';

const CLI = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

export interface WorkerProcess {
  pid: number;
  kill(signal: NodeJS.Signals): void;
  /** Resolves when the process has ended. */
  ended: Promise<void>;
  /** Everything that it wrote to stderr. */
  log(): string;
}

/** For example a TestInbox. */
export interface WorkerTarget {
  database: { url: string };
  taskQueue: string;
}

/**
 * Starts `inbox worker` with a module of test/support; resolves when the worker has started. Its workflows run in its main
 * thread, because a separate thread takes a second of CPU time to start; `TEMPORAL_DEBUG: ''` uses one, as in production.
 *
 * @param module - relative to test/support, or a complete file URL
 * @param cli - the path of another release's command line
 */
export async function startWorkerProcess(
  target: WorkerTarget,
  module: string,
  env: Record<string, string> = {},
  flags: string[] = [],
  cli = CLI,
): Promise<WorkerProcess> {
  const path = fileURLToPath(new URL(module, import.meta.url));
  const child = spawn(process.execPath, [cli, 'worker', path, ...flags], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...process.env,
      DATABASE_URL: target.database.url,
      INBOX_TASK_QUEUE: target.taskQueue,
      TEMPORAL_DEBUG: '1',
      ...env,
    },
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const ended = once(child, 'close').then(() => undefined);
  try {
    await eventually('the worker has started', () => hasEnded(child) || log.includes('worker started'));
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  // A command can end a worker as soon as it has started.
  if (!log.includes('worker started')) throw new Error(`the worker ended during startup: ${log}`);
  return { pid: child.pid!, kill: (signal) => void child.kill(signal), ended, log: () => log };
}
