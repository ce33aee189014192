/**
 * The commands of `inbox`.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { packageFile } from '../platform/package-files.ts';
import { addAudit } from './commands/audit.ts';
import { addCampaigns } from './commands/campaigns.ts';
import { addDeadLetters } from './commands/dead-letters.ts';
import { addDev } from './commands/dev.ts';
import { addDoctor } from './commands/doctor.ts';
import { addDryRun } from './commands/dry-run.ts';
import { EXAMPLES } from './shared/examples.ts';
import { addList } from './commands/list.ts';
import { addMigrate } from './commands/migrate.ts';
import { addDiscard, addReplay, addRestore } from './commands/operate.ts';
import { addOutbox } from './commands/outbox.ts';
import { addPrune } from './commands/prune.ts';
import { addSend } from './commands/send.ts';
import { addSetup } from './commands/setup.ts';
import { addShow } from './commands/show.ts';
import { addStats } from './commands/stats.ts';
import { addWorker } from './commands/worker.ts';
import { complain, isJson } from './shared/output.ts';

/** The program throws Commander's CommanderError for wrong usage. */
export function createProgram(): Command {
  const { version } = JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string };
  const program = new Command('inbox')
    .description(
      'Run and operate a command inbox on Postgres and Temporal. Every command has --help, and --json for JSON output.',
    )
    .helpOption('-h, --help', 'Show help for this command')
    .helpCommand('help [command]', 'Show help for a command')
    .version(version, '-V, --version', 'Show the version')
    .exitOverride();
  program.configureOutput({
    outputError: (text) =>
      complain(text.trimEnd(), { error: { name: 'UsageError', message: usageMessage(text) } }),
  });
  if (!isJson()) program.showHelpAfterError('(add --help for usage)');
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
    addOutbox,
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

/** Adds `--json` to every command that has no subcommands. */
function addJson(command: Command): void {
  command.commands.forEach(addJson);
  if (command.commands.length > 0 || command.options.some(({ long }) => long === '--json')) return;
  command.option(
    '--json',
    'Print the result as JSON on stdout, and messages as JSON on stderr (default: text)',
  );
}

function addExamples(command: Command, path: string[] = []): void {
  for (const child of command.commands) addExamples(child, [...path, child.name()]);
  const examples = EXAMPLES[path.join(' ')];
  if (examples)
    command.addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`);
}

function usageMessage(text: string): string {
  return text.trim().replace(/^error: /, '');
}
