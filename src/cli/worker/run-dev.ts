/**
 * The process of `inbox dev`.
 *
 * @module
 */
import { once } from 'node:events';
import { NativeConnection } from '@temporalio/worker';
import { readNamespace, readTemporal } from '../../temporal/connection-config.ts';
import { deadLettersLink } from '../../temporal/web-ui.ts';
import { readWebUi } from '../shared/web-ui.ts';
import { createPool } from '../../platform/postgres.ts';
import { sourceCommand, writeEnvironmentFile } from '../../dev/environment-file.ts';
import { defaultDevDir, startServers } from '../../dev/servers.ts';
import type { Servers } from '../../dev/servers.ts';
import { migrate } from '../../store/migrate.ts';
import { settingsFromEnv } from '../../settings.ts';
import { createInboxWorker } from '../../worker.ts';
import { answer, note } from '../shared/output.ts';
import { installRuntime } from '../../temporal/runtime.ts';
import { createWorkerLog } from './worker-log.ts';
import { maskSecrets } from '../../platform/secrets.ts';
import { loadCommands } from './load-commands.ts';
import type { LoadedModule } from './load-commands.ts';

export async function runDev(module: string | undefined, dir: string | undefined): Promise<void> {
  const persistentDir = dir ?? defaultDevDir();
  const loaded = module === undefined ? null : await loadCommands(module);
  const interrupted = new AbortController();
  const onSignal = () => interrupted.abort();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  // These variables are often left over from the settings file of an earlier `inbox dev`.
  if (process.env['DATABASE_URL']?.trim())
    note('Using Postgres at DATABASE_URL; unset it to start an embedded server');
  if (process.env['TEMPORAL_ADDRESS']?.trim())
    note('Using Temporal at TEMPORAL_ADDRESS; unset it to start an embedded server');
  const servers = await startServers({ persistentDir, usualPorts: true, log: note });
  // Keeps the process alive. Signal listeners don't, and without embedded servers nothing else would.
  const stayUp = setInterval(() => {}, 60_000);
  try {
    const pool = createPool({ connectionString: servers.databaseUrl, max: 1, applicationName: 'inbox dev' });
    await migrate(pool);
    await pool.end();
    const environment = await writeEnvironmentFile(persistentDir, servers);
    const webUi = servers.uiUrl === null ? readWebUi() : { url: servers.uiUrl, namespace: readNamespace() };
    note(`Temporal  ${servers.temporalAddress}${servers.uiUrl ? `, Web UI ${servers.uiUrl}` : ''}`);
    if (webUi) note(`Dead letters in the Web UI: ${deadLettersLink(webUi)}`);
    note(`Data      ${persistentDir}; delete it to start from scratch`);
    note(`In another terminal, load the settings:\n  ${sourceCommand(environment)}`);
    const { temporalAddress, uiUrl } = servers;
    // Only the file contains the password.
    const databaseUrl = maskSecrets(servers.databaseUrl);
    answer({ databaseUrl, temporalAddress, uiUrl, folder: persistentDir, environment }, () => {});
    if (loaded) await runDevWorker(loaded, servers, webUi?.url ?? null, interrupted.signal);
    else if (!interrupted.signal.aborted) await once(interrupted.signal, 'abort');
  } finally {
    clearInterval(stayUp);
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    await servers.stop();
  }
}

/** Runs a worker until `signal` is aborted. The worker ends before the servers are stopped. */
async function runDevWorker(
  { commands, hooks }: LoadedModule,
  { databaseUrl, temporalAddress }: Pick<Servers, 'databaseUrl' | 'temporalAddress'>,
  temporalUiUrl: string | null,
  signal: AbortSignal,
): Promise<void> {
  const log = createWorkerLog();
  installRuntime({ shutdownSignals: [], log });
  const { connectionOptions, namespace } = readTemporal({
    ...process.env,
    TEMPORAL_ADDRESS: temporalAddress,
  });
  const connection = await NativeConnection.connect(connectionOptions);
  const settings = { ...settingsFromEnv(), temporalUiUrl };
  const options = { commands, ...hooks, databaseUrl, connection, namespace, settings, log };
  const worker = await createInboxWorker(options);
  log.info('worker started', { commands: commands.map(({ type }) => type).join(',') });
  signal.addEventListener('abort', () => worker.shutdown());
  if (signal.aborted) await worker.close();
  else await worker.run();
  await connection.close();
}
