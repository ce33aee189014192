/**
 * The real command line, in processes of its own.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { TestInbox } from './inbox.ts';
import { eventually } from './wait.ts';

/** The compiled `inbox`. */
export const CLI_MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

export type CliEnvironment = Record<string, string | undefined>;

export interface CliResult {
  /** Exit code, or the signal that ended it. */
  code: number | string;
  stdout: string;
  stderr: string;
}

export interface CliProcess {
  /** Once it has ended. */
  result: Promise<CliResult>;
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
  /** Waits for this text on stderr. */
  says(text: RegExp): Promise<void>;
}

/** Starts `inbox …`; what is undefined in the environment is not set, everything else is as here. */
export function startCli(
  args: readonly string[],
  env: CliEnvironment = {},
  input: string | Buffer = '',
): CliProcess {
  const child = spawn(process.execPath, [CLI_MAIN, ...args], { env: { ...process.env, ...env } });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  // A command that does not read its input may be gone before all of it is written.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const result = new Promise<CliResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? signal!, stdout, stderr }));
  });
  return {
    result,
    stderr: () => stderr,
    kill: (signal) => void child.kill(signal),
    says: async (text) => {
      await eventually(`inbox ${args[0]} says ${text}`, () => {
        if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${stderr}`);
        return text.test(stderr);
      });
    },
  };
}

/** Runs `inbox …` to its end. */
export function runCli(args: readonly string[], env: CliEnvironment = {}): Promise<CliResult> {
  return startCli(args, env).result;
}

/** `inbox …` against one inbox. */
export interface Cli {
  run(args: readonly string[], more?: CliEnvironment, input?: string | Buffer): Promise<CliResult>;
  /** The answer of a command that worked, and said nothing on stderr. */
  json<T>(...args: string[]): Promise<T>;
  /** The command fails with one line on stderr, which is no stack. */
  fails(args: readonly string[], message: RegExp, more?: CliEnvironment): Promise<void>;
}

export function createCli({ database, taskQueue }: TestInbox): Cli {
  const env = { DATABASE_URL: database.url, INBOX_TASK_QUEUE: taskQueue, INBOX_LOG_LEVEL: undefined };
  const run: Cli['run'] = (args, more, input) => startCli(args, { ...env, ...more }, input).result;
  return {
    run,
    async json(...args) {
      const { code, stdout, stderr } = await run([...args, '--json']);
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
      return JSON.parse(stdout);
    },
    async fails(args, message, more) {
      const { code, stdout, stderr } = await run(args, more);
      assert.deepEqual({ code, stdout }, { code: 1, stdout: '' }, stderr);
      assert.match(stderr, message);
      assert.match(stderr, /^inbox: [^\n]*\n$/);
    },
  };
}
