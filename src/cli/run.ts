/**
 * Runs one `inbox` command, from its arguments to its exit code.
 *
 * @module
 */
import { CommanderError } from 'commander';
import { maskSecrets } from '../platform/secrets.ts';
import { describeError } from './shared/describe-error.ts';
import { complain, printable, useJson } from './shared/output.ts';
import { createProgram } from './program.ts';
import { finishOutput, writeError } from './shared/stdio.ts';

const USAGE_EXIT_CODE = 2;

/** Read before the options are parsed, so that errors in the options are JSON too. */
function isJsonWanted(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(2, end === -1 ? undefined : end).includes('--json');
}

/**
 * Runs the command in `process.argv`, and waits until its output is written.
 *
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage; a supervisor returns the exit code of its last worker
 */
export async function runCommandLine(): Promise<number> {
  const code = await run();
  const problem = await finishOutput();
  if (problem === null) return code;
  writeError(`inbox: the output could not be written (${problem}); changes that the command made are kept\n`);
  return 1;
}

async function run(): Promise<number> {
  useJson(isJsonWanted(process.argv));
  try {
    await createProgram().parseAsync();
    // A supervisor has set the exit code of its last worker.
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_EXIT_CODE;
    fail(error);
    return 1;
  }
}

function fail(error: unknown): void {
  // Hide secrets before escaping invisible characters: a secret may contain some, and would no longer match.
  const message = maskSecrets(describeError(error));
  const name = error instanceof Error ? error.name : 'Error';
  const lines = message.split('\n').map((line) => printable(line));
  complain(`inbox: ${lines.join('\n')}`, { error: { name, message } });
}
