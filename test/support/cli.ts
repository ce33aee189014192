/**
 * `inbox` as people run it: a process of its own.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

export interface CliAnswer {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Started, to be killed or waited for. */
export interface CliProcess {
  child: ChildProcess;
  answer: Promise<CliAnswer>;
}

export function startCli(args: string[], env: Record<string, string> = {}): CliProcess {
  const child = spawn(process.execPath, [CLI, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', ...env },
  });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()));
  const answer = once(child, 'close').then(([code]) => ({ code: code as number | null, ...said }));
  return { child, answer };
}

export function runCli(args: string[], env: Record<string, string> = {}): Promise<CliAnswer> {
  return startCli(args, env).answer;
}
