import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { NativeConnection } from '@temporalio/worker';
import type { Command } from 'commander';
import type { CommandDefinition } from '../command.ts';
import { readDatabaseUrl, readTemporal } from '../config.ts';
import { ConfigurationError, InboxError } from '../errors.ts';
import { createOutboxRelay } from '../outbox-relay.ts';
import type { Publisher } from '../publisher.ts';
import { isCommandDefinition } from '../registry.ts';
import { createInboxWorker } from '../worker.ts';
import { unreachable } from './context.ts';
import { loadPublisher } from './publisher.ts';
import { installRuntime, workerLog } from './runtime.ts';

export function addWorker(program: Command): void {
  program
    .command('worker')
    .argument('<module>', 'JavaScript module whose exports, or whose one default array, are commands')
    .option('--build-id <id>', 'release, kept with every failed attempt')
    .option(
      '--publish <publisher>',
      'also publish the outbox: nats://host:4222, or a JavaScript module whose default export is a publisher',
    )
    .description(
      'handle commands until SIGTERM or Ctrl-C; attempts in flight may finish within INBOX_SHUTDOWN_GRACE',
    )
    .action(runWorker);
}

interface WorkerFlags {
  buildId?: string;
  publish?: string;
}

async function runWorker(module: string, { buildId, publish }: WorkerFlags): Promise<void> {
  const databaseUrl = readDatabaseUrl();
  const { connectionOptions, namespace } = readTemporal();
  const commands = await loadCommands(module);
  const publisher = publish === undefined ? null : await loadPublisher(publish);
  installRuntime();
  const connection = await NativeConnection.connect(connectionOptions).catch((error: unknown) => {
    throw unreachable(connectionOptions.address, error);
  });
  try {
    const options = { commands, databaseUrl, connection, namespace, log: workerLog };
    const worker = await createInboxWorker(buildId === undefined ? options : { ...options, buildId });
    workerLog.info('worker started', { commands: commands.map(({ type }) => type).join(','), namespace });
    const relay = publisher && startRelay(databaseUrl, publisher);
    try {
      await worker.run();
    } finally {
      await relay?.stop();
    }
    workerLog.info('worker stopped');
  } finally {
    await connection.close();
  }
}

/** Runs beside the worker: whatever becomes of it, commands go on. */
function startRelay(databaseUrl: string, publisher: Publisher): { stop(): Promise<void> } {
  const relay = createOutboxRelay({
    databaseUrl,
    publish: (events, signal) => publisher.publish(events, signal),
    log: workerLog,
  });
  const running = relay.run().catch((error: unknown) => {
    const problem = error instanceof InboxError ? error.message : undefined;
    workerLog.error('outbox relay ended; events wait in the outbox', { error, problem });
  });
  return {
    async stop() {
      relay.stop();
      await running;
      await publisher.close?.().catch((error: unknown) => {
        workerLog.warn('the publisher did not close', { error });
      });
    },
  };
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
