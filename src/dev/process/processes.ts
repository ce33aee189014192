/**
 * Checks processes on this machine that are not children of this process.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { hasCode } from './error-code.ts';

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: the process exists and belongs to another user.
    return hasCode(error, 'EPERM');
  }
}

/**
 * Returns true when the process is alive and its command line contains the text. The pid alone proves nothing: after a
 * reboot, or in a new container, the pid in an old pid file often belongs to an unrelated process.
 */
export async function isRunning(pid: number, commandLinePart: string): Promise<boolean> {
  if (!isAlive(pid)) return false;
  const commandLine = await readCommandLine(pid);
  // If the command line is not available, assume that it is the process.
  return commandLine === null ? isAlive(pid) : commandLine.includes(commandLinePart);
}

async function readCommandLine(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    // An ended process has no command line; a zombie has an empty one.
    return readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  }
  if (process.platform === 'win32') return null;
  const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'args=', '-p', String(pid)]).catch(() => ({
    stdout: '',
  }));
  return stdout;
}

/** Waits for such a process to end. Returns false when it is still running after the timeout. */
export async function waitUntilGone(
  pid: number,
  commandLinePart: string,
  timeoutMs: number,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (await isRunning(pid, commandLinePart)) {
    if (performance.now() > deadline) return false;
    await delay(50);
  }
  return true;
}
