/**
 * A program with an embedded worker: it does not install Temporal's Runtime, like most programs. Its commands fail, and write
 * log lines. Logs to stderr, as JSON through pino if LOGGER is `pino`.
 *
 * @module
 */
import { NativeConnection } from '@temporalio/worker';
import { pino } from 'pino';
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../src/core/errors.ts';
import { readDatabaseUrl } from '../../src/platform/postgres-url.ts';
import { settingsFromEnv } from '../../src/settings.ts';
import { readTemporal } from '../../src/temporal/connection-config.ts';
import { createInboxWorker } from '../../src/worker.ts';
import { CANARY } from './traced-commands.ts';

const failing = defineCommand({
  type: 'Failing',
  schema: z.object({}),
  retry: { initialInterval: '10ms', maximumAttempts: 2 },
  async handle({ log, attempt }) {
    log.info('working', { card: 'none', error: new TypeError(CANARY) });
    if (attempt > 1) throw new UnrecoverableError('Refused', { card: CANARY }, { cause: new Error(CANARY) });
    throw new Error(`declined ${CANARY}`);
  },
});

const { connectionOptions, namespace } = readTemporal();
const connection = await NativeConnection.connect(connectionOptions);
const destination = pino.destination({ fd: process.stderr.fd, sync: true });
const worker = await createInboxWorker({
  commands: [failing],
  databaseUrl: readDatabaseUrl(),
  connection,
  namespace,
  settings: settingsFromEnv(),
  ...(process.env['LOGGER'] === 'pino' && { logger: pino({ level: 'debug' }, destination) }),
});
process.once('SIGTERM', () => worker.shutdown());
process.stderr.write('{"started":true}\n');
await worker.run();
await connection.close();
