/**
 * Splits a command line into words with a real shell, without running the command.
 *
 * @module
 */
import { execFileSync } from 'node:child_process';

export function shellWords(command: string): string[] {
  const script = `set -- ${command}; for word; do printf '%s\\0' "$word"; done`;
  return execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1);
}
