import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { NativeConnection } from '@temporalio/worker';
import type { Command } from 'commander';
import type { CommandDefinition } from '../command.ts';
import { readDatabaseUrl, readTemporal } from '../config.ts';
import { ConfigurationError } from '../errors.ts';
import { isCommandDefinition } from '../registry.ts';
import { createInboxWorker } from '../worker.ts';
import { unreachable } from './context.ts';
import { installRuntime, workerLog } from '../runtime.ts';

export function addWorker(program: Command): void {
  program
    .command('worker')
    .argument('<module>', 'JavaScript module whose exports, or whose one default array, are commands')
    .option('--build-id <id>', 'release, kept with every failed attempt')
    .description(
      'handle commands until SIGTERM or Ctrl-C; attempts in flight may finish within INBOX_SHUTDOWN_GRACE',
    )
    .action(async (module: string, { buildId }: { buildId?: string }) => runWorker(module, buildId));
}

async function runWorker(module: string, buildId: string | undefined): Promise<void> {
  const databaseUrl = readDatabaseUrl();
  const { connectionOptions, namespace } = readTemporal();
  const commands = await loadCommands(module);
  installRuntime();
  const connection = await NativeConnection.connect(connectionOptions).catch((error: unknown) => {
    throw unreachable(connectionOptions.address, error);
  });
  try {
    const options = { commands, databaseUrl, connection, namespace, log: workerLog };
    const worker = await createInboxWorker(buildId === undefined ? options : { ...options, buildId });
    workerLog.info('worker started', { commands: commands.map(({ type }) => type).join(','), namespace });
    await worker.run().catch((error: unknown) => {
      workerLog.error('worker failed', { error });
      // Temporal's threads may never end after a forced shutdown. What is left behind the next worker finds in Postgres.
      process.exit(1);
    });
    workerLog.info('worker stopped');
  } finally {
    await connection.close();
  }
}

/** @throws ConfigurationError when the module cannot be loaded, or has no command */
export async function loadCommands(module: string): Promise<CommandDefinition[]> {
  const url = pathToFileURL(resolve(module)).href;
  const exports = await (import(url) as Promise<Record<string, unknown>>).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigurationError(`the module ${module} could not be loaded: ${why}`, { cause: error });
  });
  const candidates = Array.isArray(exports['default']) ? exports['default'] : Object.values(exports);
  // One command under two names is still one.
  const commands = [...new Set(candidates.filter((candidate) => isCommandDefinition(candidate)))];
  if (commands.length === 0) {
    throw new ConfigurationError(
      `the module ${module} exports no command; export what defineCommand returns`,
    );
  }
  return commands;
}
