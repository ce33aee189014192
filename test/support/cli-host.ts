/**
 * A process that runs `inbox` commands one after another, each with its own arguments, environment, input and output. Short
 * commands spend most of their time on loading modules; the host loads them once.
 *
 * @module
 */
import { Readable } from 'node:stream';
import { runCommandLine } from '../../src/cli/run.ts';
import { guardOutput } from '../../src/cli/shared/stdio.ts';
import type { CliResult } from './cli.ts';

export interface CliCall {
  args: readonly string[];
  env: Record<string, string>;
  input: Uint8Array;
}

/** What the current command has written so far. */
let output = { stdout: '', stderr: '' };

function capture(name: 'stdout' | 'stderr'): void {
  const decoder = new TextDecoder();
  process[name].write = (
    chunk: Uint8Array | string,
    encoding?: BufferEncoding | ((error?: Error | null) => void),
    callback?: (error?: Error | null) => void,
  ) => {
    output[name] += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const done = typeof encoding === 'function' ? encoding : callback;
    if (done) process.nextTick(done);
    return true;
  };
}

async function run({ args, env, input }: CliCall): Promise<CliResult> {
  output = { stdout: '', stderr: '' };
  process.argv.splice(2, Infinity, ...args);
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name];
  Object.assign(process.env, env);
  process.exitCode = undefined;
  const stdin = Readable.from(input.length === 0 ? [] : [Buffer.from(input)], { objectMode: false });
  Object.defineProperty(process, 'stdin', { value: stdin, configurable: true });
  const code = await runCommandLine();
  process.exitCode = undefined;
  return { code, ...output };
}

guardOutput();
capture('stdout');
capture('stderr');
process.on('message', (call: CliCall) => void run(call).then((result) => process.send!(result)));
process.on('disconnect', () => process.exit());
