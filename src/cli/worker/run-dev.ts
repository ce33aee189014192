/**
 * The process of `inbox dev`.
 *
 * @module
 */
import { once } from 'node:events';
import { NativeConnection } from '@temporalio/worker';
import { readTemporal } from '../../temporal/connection-config.ts';
import { createPool } from '../../platform/postgres.ts';
import { sourceCommand, writeEnvironmentFile } from '../../dev/environment-file.ts';
import { defaultDevDir, startServers } from '../../dev/servers.ts';
import { migrate } from '../../store/migrate.ts';
import { createInboxWorker } from '../../worker.ts';
import { answer, note } from '../shared/output.ts';
import { installRuntime, workerLog } from '../../temporal/runtime.ts';
import { hideSecrets } from '../../platform/secrets.ts';
import { loadCommands } from './load-commands.ts';
import type { LoadedModule } from './load-commands.ts';

export async function runDev(module: string | undefined, dir: string | undefined): Promise<void> {
  const persistentDir = dir ?? defaultDevDir();
  const loaded = module === undefined ? null : await loadCommands(module);
  const interrupted = new AbortController();
  const onSignal = () => interrupted.abort();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  // Often left over from the settings that an earlier one wrote.
  if (process.env['DATABASE_URL']?.trim())
    note('Postgres is that of DATABASE_URL; unset it for an embedded one');
  if (process.env['TEMPORAL_ADDRESS']?.trim())
    note('Temporal is that of TEMPORAL_ADDRESS; unset it for an embedded one');
  const servers = await startServers({ persistentDir, usualPorts: true, log: note });
  // Signals alone do not: without it the process would end at once when neither server is its own.
  const stayUp = setInterval(() => {}, 60_000);
  try {
    const pool = createPool({ connectionString: servers.databaseUrl, max: 1, applicationName: 'inbox dev' });
    await migrate(pool);
    await pool.end();
    const environment = await writeEnvironmentFile(persistentDir, servers);
    note(`Temporal  ${servers.temporalAddress}${servers.uiUrl ? `, Web UI ${servers.uiUrl}` : ''}`);
    note(`Data      ${persistentDir}; delete it to start anew`);
    note(`In another terminal, take the settings over:\n  ${sourceCommand(environment)}`);
    const { temporalAddress, uiUrl } = servers;
    // The password is only in the file.
    const databaseUrl = hideSecrets(servers.databaseUrl);
    answer({ databaseUrl, temporalAddress, uiUrl, folder: persistentDir, environment }, () => {});
    if (loaded) await work(loaded, servers.databaseUrl, servers.temporalAddress, interrupted.signal);
    else if (!interrupted.signal.aborted) await once(interrupted.signal, 'abort');
  } finally {
    clearInterval(stayUp);
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    await servers.stop();
  }
}

/** Until the signal; the worker has ended before the servers do. */
async function work(
  { commands, hooks }: LoadedModule,
  databaseUrl: string,
  address: string,
  signal: AbortSignal,
): Promise<void> {
  installRuntime({ shutdownSignals: [] });
  const { connectionOptions, namespace } = readTemporal({ ...process.env, TEMPORAL_ADDRESS: address });
  const connection = await NativeConnection.connect(connectionOptions);
  const options = { commands, ...hooks, databaseUrl, connection, namespace, log: workerLog };
  const worker = await createInboxWorker(options);
  workerLog.info('worker started', { commands: commands.map(({ type }) => type).join(',') });
  signal.addEventListener('abort', () => worker.shutdown());
  if (signal.aborted) await worker.close();
  else await worker.run();
  await connection.close();
}
