/**
 * Processes that tests start.
 *
 * @module
 */
import type { ChildProcess } from 'node:child_process';

/** Whether it has exited or was killed. */
export function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}
