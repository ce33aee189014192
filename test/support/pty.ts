/**
 * Runs a command on a real terminal, which `script` of util-linux creates.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { quoteForShell } from '../../src/core/shell.ts';
import { CLI_MAIN } from './cli.ts';
import type { CliEnvironment } from './cli.ts';

/** The reason why there is no terminal, or false if there is one. Fails in CI if there is none. */
export function noTerminal(): string | false {
  const { stdout } = spawnSync('script', ['--version'], { encoding: 'utf8' });
  if (/util-linux/.test(stdout ?? '')) return false;
  assert.equal(process.env['CI'], undefined, 'script of util-linux is missing in CI');
  return 'script of util-linux is not installed';
}

/** Runs `inbox …` on a terminal of this width. `screen` is everything the terminal showed, from stdout and stderr. */
export async function runOnTerminal(
  args: readonly string[],
  { columns, env = {} }: { columns: number; env?: CliEnvironment },
): Promise<{ code: number; screen: string }> {
  const command = [process.execPath, CLI_MAIN, ...args].map(quoteForShell).join(' ');
  const child = spawn('script', ['-qec', `stty cols ${columns} rows 50; ${command}`, '/dev/null'], {
    env: { ...process.env, TERM: 'xterm-256color', NO_COLOR: undefined, FORCE_COLOR: undefined, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let screen = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (screen += text));
  const [code] = (await once(child, 'close')) as [number];
  return { code, screen: screen.replaceAll('\r\n', '\n') };
}
