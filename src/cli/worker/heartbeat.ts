/**
 * The worker's side of `inbox worker --supervise`: shows that the event loop turns, stops when asked to, and does not
 * outlive its supervisor.
 *
 * @module
 */
import { constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import { readSettings } from '../../settings.ts';
import { ConfigurationError, InvalidCommandError, SchemaError } from '../../core/errors.ts';

/** Set by the supervisor for its child, and taken away by the child: what a handler starts is not supervised. */
export const SUPERVISED_VARIABLE = 'INBOX_SUPERVISED';
/** The file descriptor of a pipe that nobody writes into: it ends when the supervisor does. */
export const LIFELINE_FD = 4;
export const HEARTBEAT_MS = 500;

/** To the supervisor. `hopeless` is the last word of a worker that trying again would not help. */
export type WorkerNews = 'alive' | 'working' | 'hopeless';
/** From the supervisor. */
export interface StopOrder {
  stop: 'SIGTERM' | 'SIGINT';
}

export interface Supervision {
  /** From here on a stop drains. */
  working(): void;
  /** Before the process ends with this error. */
  failed(error: unknown): Promise<void>;
}

/** Does nothing where nobody supervises. */
export function reportToSupervisor(): Supervision {
  if (process.env[SUPERVISED_VARIABLE] === undefined || process.send === undefined) {
    return { working() {}, async failed() {} };
  }
  delete process.env[SUPERVISED_VARIABLE];
  let works = false;
  const stop = (signal: StopOrder['stop']) => {
    if (!works) process.exit(128 + constants.signals[signal]);
    // To the listener of Temporal's Runtime. Not a signal of the operating system: that listener takes the first one
    // alone, and a Ctrl-C, or a systemd that tells the whole control group, has sent one already.
    process.emit(signal, signal);
  };
  process.on('message', (order: Partial<StopOrder>) => {
    if (order.stop) stop(order.stop);
  });
  process.once('disconnect', () => stop('SIGTERM'));
  // Listening must not keep a process alive that has nothing left to do.
  process.channel?.unref();
  // On the main thread, for it is the main thread's silence that is meant to be noticed.
  setInterval(() => void tell('alive'), HEARTBEAT_MS).unref();
  guardAgainstOrphanage();
  return {
    working() {
      works = true;
      void tell('working');
    },
    async failed(error) {
      if (isHopeless(error)) await tell('hopeless');
    },
  };
}

/** Resolves when it was sent, or cannot be any more. */
function tell(news: WorkerNews): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send!(news, undefined, undefined, () => resolve());
    else resolve();
  });
}

/** A handler that never yields hears of no disconnect, so a thread listens too. */
function guardAgainstOrphanage(): void {
  const { shutdownGraceMs } = readSettings();
  const workerData = { fd: LIFELINE_FD, graceMs: shutdownGraceMs };
  new Worker(new URL('./orphan-guard.js', import.meta.url), { workerData }).unref();
}

/** What a person has to mend. A server that is away is none of them: it comes back by itself. */
function isHopeless(error: unknown): boolean {
  return (
    error instanceof ConfigurationError ||
    error instanceof SchemaError ||
    error instanceof InvalidCommandError
  );
}
