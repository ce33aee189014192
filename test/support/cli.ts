/**
 * Runs the real command line, in a separate process or, where that makes no difference, in a process that commands share.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { fork, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { hasEnded } from './child-process.ts';
import type { CliCall } from './cli-host.ts';
import type { TestInbox } from './inbox.ts';
import { eventually } from './wait.ts';

/** The compiled `inbox`. */
export const CLI_MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

export type CliEnvironment = Record<string, string | undefined>;

export interface CliResult {
  /** The exit code, or the signal that ended the process. */
  code: number | string;
  stdout: string;
  stderr: string;
}

export interface CliProcess {
  /** Resolves when the process has ended. */
  result: Promise<CliResult>;
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
  /** Waits until stderr matches this pattern. */
  says(text: RegExp): Promise<void>;
}

/** Starts `inbox …` with this process's environment and the given changes; undefined unsets a variable. */
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
  // A command that does not read its input may exit before all of it is written.
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
      await eventually(`inbox ${args[0]} prints ${text}`, () => hasEnded(child) || text.test(stderr));
      const end = child.exitCode ?? child.signalCode;
      if (!text.test(stderr)) throw new Error(`inbox ${args[0]} ended with ${end}: ${stderr}`);
    },
  };
}

const HOST = fileURLToPath(new URL('./cli-host.js', import.meta.url));
/** Idle hosts wait for the next command and exit with this process. */
const idleHosts: ChildProcess[] = [];
/** Commands that run until they are stopped, or that change the process they run in. */
const NEEDS_OWN_PROCESS = new Set(['worker', 'dev']);

/**
 * Runs `inbox …` until it ends. Concurrent commands run in separate processes; a later command reuses the process of one
 * that has ended. Tests of signals, pipes and terminals need {@link startCli}.
 */
export async function runCli(
  args: readonly string[],
  env: CliEnvironment = {},
  input: string | Buffer = '',
): Promise<CliResult> {
  if (NEEDS_OWN_PROCESS.has(args[0] ?? '')) return startCli(args, env, input).result;
  const host = idleHosts.pop() ?? startHost();
  host.ref();
  host.channel!.ref();
  const given = Object.entries({ ...process.env, ...env }).filter(([, value]) => value !== undefined);
  const call: CliCall = {
    args,
    env: Object.fromEntries(given) as Record<string, string>,
    input: Buffer.from(input),
  };
  const answer = new AbortController();
  const ended = once(host, 'exit', { signal: answer.signal }).then(([code, signal]) => {
    throw new Error(`the process of inbox ${args.join(' ')} ended with ${code ?? signal}`);
  });
  ended.catch(() => {});
  host.send(call);
  const [result] = (await Promise.race([once(host, 'message'), ended])) as [CliResult];
  answer.abort();
  host.channel!.unref();
  host.unref();
  idleHosts.push(host);
  return result;
}

function startHost(): ChildProcess {
  // Whatever the host writes to stderr outside of a command, such as a fatal error of Node, appears on the test's stderr.
  return fork(HOST, {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    serialization: 'advanced',
    execArgv: [],
  });
}

/** Runs `inbox …` against one test inbox. */
export interface Cli {
  run(args: readonly string[], more?: CliEnvironment, input?: string | Buffer): Promise<CliResult>;
  /** Runs a command with `--json`, checks that it succeeds without output on stderr, and returns the parsed result. */
  json<T>(...args: string[]): Promise<T>;
  /** Checks that the command fails with a single line on stderr, without a stack trace. */
  fails(args: readonly string[], message: RegExp, more?: CliEnvironment): Promise<void>;
}

export function createCli({ database, taskQueue }: TestInbox): Cli {
  const env = { DATABASE_URL: database.url, INBOX_TASK_QUEUE: taskQueue, INBOX_LOG_LEVEL: undefined };
  const run: Cli['run'] = (args, more, input) => runCli(args, { ...env, ...more }, input);
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
