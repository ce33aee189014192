#!/usr/bin/env node
/**
 * `inbox`: one file a command, no logic of its own. Exit 0 done, 1 failed, 2 wrong usage.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { packageFile } from '../package.ts';
import { addAudit } from './audit.ts';
import { addCampaigns } from './campaigns.ts';
import { addDeadLetters } from './dead-letters.ts';
import { describeError } from './describe-error.ts';
import { addDev } from './dev.ts';
import { addDoctor } from './doctor.ts';
import { addDryRun } from './dry-run.ts';
import { EXAMPLES } from './examples.ts';
import { addList } from './list.ts';
import { addMigrate } from './migrate.ts';
import { addDiscard, addReplay, addRestore } from './operate.ts';
import { complain, printable, useJson } from './output.ts';
import { addPrune } from './prune.ts';
import { addSend } from './send.ts';
import { addSetup } from './setup.ts';
import { addShow } from './show.ts';
import { addStats } from './stats.ts';
import { finishOutput, guardOutput, writeError } from './stdio.ts';
import { addWorker } from './worker.ts';

const USAGE_EXIT_CODE = 2;

function createProgram(): Command {
  const { version } = JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string };
  const program = new Command('inbox')
    .description(
      'A command inbox on Temporal and Postgres. Every command takes --help, and --json for programs.',
    )
    .version(version)
    .exitOverride();
  if (isJsonWanted(process.argv)) {
    program.configureOutput({
      outputError: (text) => complain(text, { error: { name: 'UsageError', message: usageMessage(text) } }),
    });
  } else {
    program.showHelpAfterError('(--help shows how it is used)');
  }
  for (const add of [
    addDev,
    addMigrate,
    addSetup,
    addWorker,
    addSend,
    addList,
    addShow,
    addStats,
    addDeadLetters,
    addReplay,
    addDiscard,
    addRestore,
    addDryRun,
    addCampaigns,
    addAudit,
    addPrune,
    addDoctor,
  ]) {
    add(program);
  }
  addJson(program);
  addExamples(program);
  return program;
}

/** To every command that does something. */
function addJson(command: Command): void {
  command.commands.forEach(addJson);
  if (command.commands.length > 0 || command.options.some(({ long }) => long === '--json')) return;
  command.option('--json', 'print JSON on stdout, and messages as JSON on stderr');
}

function addExamples(command: Command, path: string[] = []): void {
  for (const child of command.commands) addExamples(child, [...path, child.name()]);
  const examples = EXAMPLES[path.join(' ')];
  if (examples)
    command.addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`);
}

/** Before the options are read, for what is wrong with them. */
function isJsonWanted(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(2, end === -1 ? undefined : end).includes('--json');
}

function usageMessage(text: string): string {
  return text.trim().replace(/^error: /, '');
}

async function main(): Promise<number> {
  guardOutput();
  useJson(isJsonWanted(process.argv));
  try {
    await createProgram().parseAsync();
    // A supervisor's is that of its last worker.
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_EXIT_CODE;
    fail(error);
    return 1;
  }
}

function fail(error: unknown): void {
  const message = describeError(error);
  const name = error instanceof Error ? error.name : 'Error';
  const lines = message.split('\n').map((line) => printable(line));
  complain(`inbox: ${lines.join('\n')}`, { error: { name, message } });
}

const code = await main();
const problem = await finishOutput();
if (problem !== null) {
  writeError(`inbox: the output could not be written (${problem}); what the command did is done\n`);
}
process.exitCode = problem === null ? code : 1;
