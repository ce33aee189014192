/**
 * The worker's side of `inbox worker --supervise`: sends heartbeats from the event loop, stops on request, and does not
 * outlive its supervisor.
 *
 * @module
 */
import { constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import { settingsFromEnv } from '../../settings.ts';
import { ConfigurationError, InvalidCommandError, SchemaError } from '../../core/errors.ts';

/** The supervisor sets it for its child. The child removes it, so that processes started by a handler don't inherit it. */
export const SUPERVISED_VARIABLE = 'INBOX_SUPERVISED';
/** The file descriptor of a pipe that carries no data. The pipe closes when the supervisor ends. */
export const LIFELINE_FD = 4;
export const HEARTBEAT_MS = 500;

/** From the worker to the supervisor. `hopeless`: the worker is about to end, and a restart would end the same way. */
export type WorkerMessage = 'alive' | 'working' | 'hopeless';
/** From the supervisor to the worker. */
export interface StopOrder {
  stop: 'SIGTERM' | 'SIGINT';
}

export interface Supervision {
  /** Call once the worker runs. From then on, a stop drains it first. */
  working(): void;
  /** Call before the process ends with this error. */
  failed(error: unknown): Promise<void>;
}

/** Does nothing without a supervisor. */
export function reportToSupervisor(): Supervision {
  if (process.env[SUPERVISED_VARIABLE] === undefined || process.send === undefined) {
    return { working() {}, async failed() {} };
  }
  delete process.env[SUPERVISED_VARIABLE];
  let isWorking = false;
  const stop = (signal: StopOrder['stop']) => {
    if (!isWorking) process.exit(128 + constants.signals[signal]);
    // Calls the listener of Temporal's Runtime. A real signal would not work: the listener handles only the first one, and
    // Ctrl-C, or systemd signaling the whole control group, may already have sent it.
    process.emit(signal, signal);
  };
  process.on('message', (order: Partial<StopOrder>) => {
    if (order.stop) stop(order.stop);
  });
  process.once('disconnect', () => stop('SIGTERM'));
  // The IPC channel must not keep the process alive when nothing else does.
  process.channel?.unref();
  // On the main thread, because the watchdog must notice when the main thread is blocked.
  setInterval(() => void report('alive'), HEARTBEAT_MS).unref();
  startOrphanGuard();
  return {
    working() {
      isWorking = true;
      void report('working');
    },
    async failed(error) {
      if (isPermanent(error)) await report('hopeless');
    },
  };
}

/** Resolves when the message was sent, or when the channel is closed. */
function report(message: WorkerMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send!(message, undefined, undefined, () => resolve());
    else resolve();
  });
}

/** While a handler blocks the event loop, the main thread cannot notice a disconnect. So another thread watches too. */
function startOrphanGuard(): void {
  const { shutdownGraceMs } = settingsFromEnv();
  const workerData = { fd: LIFELINE_FD, graceMs: shutdownGraceMs };
  new Worker(new URL('./orphan-guard.js', import.meta.url), { workerData }).unref();
}

/** Errors that a restart cannot fix. An unreachable server is not one of them: it may become available again. */
function isPermanent(error: unknown): boolean {
  return (
    error instanceof ConfigurationError ||
    error instanceof SchemaError ||
    error instanceof InvalidCommandError
  );
}
