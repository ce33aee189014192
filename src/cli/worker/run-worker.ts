/**
 * The process of `inbox worker`.
 *
 * @module
 */
import { NativeConnection } from '@temporalio/worker';
import { settingsFromEnv } from '../../settings.ts';
import { readDatabaseUrl } from '../../platform/postgres-url.ts';
import { readTemporal } from '../../temporal/connection-config.ts';
import { InboxError } from '../../core/errors.ts';
import { createOutboxRelay } from '../../outbox/relay.ts';
import type { Publisher } from '../../core/published-event.ts';
import type { CommandLog } from '../../core/command-log.ts';
import { httpAddressFromEnv } from '../telemetry/http-address.ts';
import type { HttpAddress } from '../telemetry/http-address.ts';
import { startWorkerTelemetry } from '../telemetry/worker-telemetry.ts';
import { createWorkerLog } from './worker-log.ts';
import { createInboxWorker } from '../../worker.ts';
import { unreachable } from '../shared/context.ts';
import { loadCommands } from './load-commands.ts';
import { answer } from '../shared/output.ts';
import { loadPublisher } from './publisher.ts';
import { readDeployment } from './read-deployment.ts';

export interface WorkerFlags {
  buildId?: string;
  deployment?: string;
  publish?: string;
  http?: HttpAddress;
}

/** @param started - called once the worker is ready */
export async function runWorker(
  module: string,
  { publish, http, ...flags }: WorkerFlags,
  started: () => void,
): Promise<void> {
  const release = readDeployment(flags);
  const databaseUrl = readDatabaseUrl();
  const log = createWorkerLog();
  const httpAddress = http ?? httpAddressFromEnv();
  const { connectionOptions, namespace } = readTemporal();
  const { commands, hooks } = await loadCommands(module);
  const publisher = publish === undefined ? null : await loadPublisher(publish);
  const telemetry = await startWorkerTelemetry(httpAddress, log);
  const connection = await NativeConnection.connect(connectionOptions).catch((error: unknown) => {
    throw unreachable(connectionOptions.address, error);
  });
  try {
    const settings = settingsFromEnv();
    const options = { commands, ...hooks, databaseUrl, connection, namespace, settings, log };
    const worker = await createInboxWorker({ ...options, ...release });
    telemetry.watch(worker);
    log.info('worker started', { commands: commands.map(({ type }) => type).join(','), namespace });
    if (release.deployment)
      log.info('this worker gets no workflows until Temporal routes them to its version', {
        ...release.deployment,
        next: 'run `temporal worker deployment set-current-version`, unless a controller does that',
      });
    const types = commands.map(({ type }) => type);
    answer({ commands: types, namespace, taskQueue: settings.taskQueue }, () => {});
    started();
    const relay = publisher && startRelay(databaseUrl, publisher, log);
    try {
      await worker.run();
    } catch (error) {
      log.error('worker failed', { error });
      // Temporal's threads may never end after a forced shutdown. The next worker finds unfinished work in Postgres.
      process.exit(1);
    } finally {
      await relay?.stop();
    }
    log.info('worker stopped');
  } finally {
    await telemetry.stop();
    await connection.close();
  }
}

/** Starts the outbox relay beside the worker. If the relay fails, the worker continues to handle commands. */
function startRelay(databaseUrl: string, publisher: Publisher, log: CommandLog): { stop(): Promise<void> } {
  const relay = createOutboxRelay({
    databaseUrl,
    publish: (events, signal) => publisher.publish(events, signal),
    log,
  });
  const running = relay.run().catch((error: unknown) => {
    const problem = error instanceof InboxError ? error.message : undefined;
    log.error('outbox relay failed; events wait in the outbox', { error, problem });
  });
  return {
    async stop() {
      relay.stop();
      await running;
      await publisher.close?.().catch((error: unknown) => {
        log.warn('closing the publisher failed', { error });
      });
    },
  };
}
