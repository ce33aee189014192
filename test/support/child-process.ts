/**
 * Child processes of tests.
 *
 * @module
 */
import type { ChildProcess } from 'node:child_process';

/** True if the process has exited or was killed. */
export function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}
