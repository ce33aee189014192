/**
 * The worker of a test inbox.
 *
 * @module
 */
import type { ClientConnectConfig } from '@temporalio/envconfig';
import type * as TemporalWorker from '@temporalio/worker';
import { ConfigurationError } from '../core/errors.ts';
import type { createInboxWorker as CreateInboxWorker, InboxWorkerOptions } from '../worker.ts';
import type { Closers } from './closers.ts';

type Temporal = typeof TemporalWorker;

/** The packages that only a worker needs. */
export interface LoadedWorker {
  createInboxWorker: typeof CreateInboxWorker;
  temporal: Temporal;
}

export interface TestWorker {
  /** The error that ended the worker; undefined while it runs. */
  workerError: () => unknown;
}

/**
 * Starts a worker that runs until `closers` closes it.
 *
 * @throws everything that `createInboxWorker` throws
 */
export async function startTestWorker(
  { createInboxWorker, temporal }: LoadedWorker,
  options: Omit<InboxWorkerOptions, 'connection'>,
  connectionOptions: ClientConnectConfig['connectionOptions'],
  closers: Closers,
): Promise<TestWorker> {
  installRuntime(temporal);
  const connection = await temporal.NativeConnection.connect(connectionOptions);
  closers.add('the connection of the worker', () => connection.close());
  const worker = await createInboxWorker({ ...options, connection, directUrl: null });
  let failure: { error: unknown } | undefined;
  const running = worker.run().catch((error: unknown) => void (failure = { error }));
  closers.add('the worker', async () => {
    await worker.close();
    await running;
    if (failure) throw failure.error;
  });
  return { workerError: () => failure?.error };
}

/**
 * Loads `@temporalio/worker`, which is large and native. Nothing else in the testing kit loads it.
 *
 * @throws ConfigurationError if the package is not installed
 */
export async function loadWorker(): Promise<LoadedWorker> {
  try {
    const temporal = await import('@temporalio/worker');
    const { createInboxWorker } = await import('../worker.ts');
    return { createInboxWorker, temporal };
  } catch (error) {
    if (!isMissing(error, '@temporalio/worker')) throw error;
    throw new ConfigurationError(
      'createTestInbox needs @temporalio/worker, which is not installed: run `npm i -D @temporalio/worker`',
      { cause: error },
    );
  }
}

/**
 * Temporal's Runtime exists once per process. If the test has not installed its own, this installs one that logs nothing,
 * because tests make workflows fail on purpose, and that leaves signals to the test runner. A Runtime keeps the process alive
 * until its last connection is closed.
 */
function installRuntime({ DefaultLogger, makeTelemetryFilterString, Runtime }: Temporal): void {
  try {
    Runtime.install({
      logger: new DefaultLogger('ERROR', () => {}),
      telemetryOptions: { logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'ERROR' }) } },
      shutdownSignals: [],
    });
  } catch (error) {
    if ((error as Error).name !== 'IllegalStateError') throw error;
  }
}

/** `ERR_MODULE_NOT_FOUND` is Node's code; Jest's has no prefix. */
function isMissing(error: unknown, name: string): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return /^(ERR_)?MODULE_NOT_FOUND$/.test(String(code)) && String(message).includes(`'${name}'`);
}
