#!/usr/bin/env node
/**
 * `inbox`: one file a command, no logic of its own. Exit 0 done, 1 failed, 2 wrong usage.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { isPermissionDenied, isUndefinedTable } from '../database.ts';
import { messageOf } from '../error-message.ts';
import { InboxError } from '../errors.ts';
import { packageFile } from '../package.ts';
import { hideSecrets } from '../secrets.ts';
import { addAudit } from './audit.ts';
import { addCampaigns } from './campaigns.ts';
import { addDeadLetters } from './dead-letters.ts';
import { addDev } from './dev.ts';
import { addDoctor } from './doctor.ts';
import { addDryRun } from './dry-run.ts';
import { addList } from './list.ts';
import { addMigrate } from './migrate.ts';
import { addDiscard, addReplay, addRestore } from './operate.ts';
import { note, printable } from './output.ts';
import { addPrune } from './prune.ts';
import { addSend } from './send.ts';
import { addSetup } from './setup.ts';
import { addShow } from './show.ts';
import { addStats } from './stats.ts';
import { addWorker } from './worker.ts';

const USAGE_EXIT_CODE = 2;

function createProgram(): Command {
  const { version } = JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string };
  const program = new Command('inbox')
    .description('a command inbox on Temporal and Postgres')
    .version(version)
    .showHelpAfterError('(--help shows how it is used)')
    .exitOverride();
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
  for (const command of program.commands) command.exitOverride();
  return program;
}

async function main(): Promise<number> {
  try {
    await createProgram().parseAsync();
    // A supervisor's is that of its last worker.
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_EXIT_CODE;
    note(hideSecrets(describe(error)));
    return 1;
  }
}

/** Our own errors say what to do; of others the stack helps, where it is asked for. */
function describe(error: unknown): string {
  if (error instanceof InboxError) return `inbox: ${printable(error.message)}`;
  if (isUndefinedTable(error)) {
    return `inbox: ${printable(messageOf(error))}; \`inbox migrate\` brings the database's schema to this version`;
  }
  if (isPermissionDenied(error)) {
    return (
      `inbox: ${printable(messageOf(error))}; the login in DATABASE_URL may not do this: \`grant inbox_operator to …\` is for ` +
      'people who look and act, inbox_worker for workers, and migrations run as the owner of the schema'
    );
  }
  if (process.env['INBOX_LOG_LEVEL'] === 'debug' && error instanceof Error) return `inbox: ${error.stack}`;
  return `inbox: ${printable(messageOf(error))} (INBOX_LOG_LEVEL=debug shows more)`;
}

process.exitCode = await main();
