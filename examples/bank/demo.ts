/**
 * `npm start`: runs the bank on embedded servers, or on the servers that DATABASE_URL and TEMPORAL_ADDRESS name.
 *
 * The embedded servers are not part of the package's API, so this file alone imports from `src`. Everything else in the bank uses
 * `temporal-inbox` as your service would.
 *
 * @module
 */
import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { migrate } from 'temporal-inbox';
import { registerSearchAttributes } from 'temporal-inbox/temporal';
import { createInboxWorker, settingsFromEnv } from 'temporal-inbox/worker';
import { readTemporal } from '../../src/temporal/connection-config.ts';
import { createPool } from '../../src/platform/postgres.ts';
import { messageOf } from '../../src/platform/error-message.ts';
import { installRuntime } from '../../src/temporal/runtime.ts';
import { sourceCommand, writeEnvironmentFile } from '../../src/dev/environment-file.ts';
import { demoDir } from '../../src/dev/process/folders.ts';
import { startServers } from '../../src/dev/servers.ts';
import { createLog } from '../../src/platform/log.ts';
import { maskSecrets } from '../../src/platform/secrets.ts';
import * as commands from './commands.ts';
import { main } from './main.ts';
import type { RunningWorker, Servers } from './main.ts';

const printLine = (line: string) => void process.stderr.write(`${maskSecrets(line)}\n`);

await main({
  startServers: startDemoServers,
  startWorker,
  out: process.stdout,
  argv: process.argv.slice(2),
}).catch((error: unknown) => {
  const interrupted = error instanceof Error && error.message === 'interrupted';
  if (!interrupted) printLine(error instanceof Error ? `${error.message}\n${error.stack}` : String(error));
  process.exitCode = 1;
});

async function startDemoServers(): Promise<Servers> {
  const persistentDir = demoDir();
  const servers = await startServers({ persistentDir, usualPorts: true, log: printLine });
  const environmentFile = await writeEnvironmentFile(persistentDir, servers);
  printLine(
    `Postgres and Temporal are running${servers.uiUrl ? `; Temporal's Web UI is at ${servers.uiUrl}` : ''}.`,
  );
  return { ...servers, environment: [sourceCommand(environmentFile)] };
}

async function startWorker({ databaseUrl, temporalAddress }: Servers): Promise<RunningWorker> {
  const settings = settingsFromEnv();
  const { connectionOptions, namespace } = readTemporal({
    ...process.env,
    TEMPORAL_ADDRESS: temporalAddress,
  });
  const pool = createPool({ connectionString: databaseUrl, max: 4, applicationName: 'bank demo' });
  await migrate(pool);
  const connection = await Connection.connect(connectionOptions);
  await registerSearchAttributes(connection, namespace);
  // The demo handles Ctrl-C itself, because it must stop the worker before the servers.
  installRuntime({ shutdownSignals: [] });
  const native = await NativeConnection.connect(connectionOptions);
  const worker = await createInboxWorker({
    commands: Object.values(commands),
    databaseUrl,
    connection: native,
    namespace,
    settings,
    // The summary lists the failures. A log line for each failure would hide the progress display.
    log: createLog('error', () => {}),
  });
  const running = worker.run();
  running.catch((error: unknown) => printLine(messageOf(error)));
  return {
    pool,
    client: new Client({ connection, namespace }),
    taskQueue: settings.taskQueue,
    searchAttributes: true,
    async stop() {
      worker.shutdown();
      await running;
      await native.close();
      await connection.close();
      await pool.end();
    },
  };
}
