/**
 * Questions about processes of this machine that are not our children.
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
    // EPERM: it is there, and somebody else's.
    return hasCode(error, 'EPERM');
  }
}

/**
 * Whether the process is alive and has the text in its command line. A pid alone proves nothing: after a reboot, or in
 * a new container, an old pid file often names a process that has nothing to do with it.
 */
export async function isRunning(pid: number, commandLinePart: string): Promise<boolean> {
  if (!isAlive(pid)) return false;
  const commandLine = await readCommandLine(pid);
  // Where nobody can tell, the careful answer is yes.
  return commandLine === null ? isAlive(pid) : commandLine.includes(commandLinePart);
}

async function readCommandLine(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    // A process that ended, also one whose parent has not noticed, has an empty command line.
    return readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  }
  if (process.platform === 'win32') return null;
  const { stdout } = await promisify(execFile)('ps', ['-ww', '-o', 'args=', '-p', String(pid)]).catch(() => ({
    stdout: '',
  }));
  return stdout;
}

/** Waits for the end of such a process; false when it is still there after the time. */
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
