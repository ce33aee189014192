/**
 * The worker of a test inbox.
 *
 * @module
 */
import type { ClientConnectConfig } from '@temporalio/envconfig';
import { ConfigurationError } from '../core/errors.ts';
import type { InboxWorkerOptions } from '../worker.ts';
import type { Closers } from './closers.ts';

type Temporal = typeof import('@temporalio/worker');

export interface TestWorker {
  /** The error that ended the worker; undefined while it runs. */
  workerError(): unknown;
}

/**
 * Starts a worker that runs until `closers` closes it. This is the only place that loads `@temporalio/worker`, which is large
 * and native.
 *
 * @throws ConfigurationError if that package is not installed; everything that `createInboxWorker` throws
 */
export async function startTestWorker(
  options: Omit<InboxWorkerOptions, 'connection'>,
  connectionOptions: ClientConnectConfig['connectionOptions'],
  closers: Closers,
): Promise<TestWorker> {
  const { createInboxWorker, NativeConnection } = await loadWorker();
  const connection = await NativeConnection.connect(connectionOptions);
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

async function loadWorker() {
  try {
    const temporal = await import('@temporalio/worker');
    const { createInboxWorker } = await import('../worker.ts');
    installRuntime(temporal);
    return { createInboxWorker, NativeConnection: temporal.NativeConnection };
  } catch (error) {
    if (!isMissing(error, '@temporalio/worker')) throw error;
    throw new ConfigurationError(
      'createTestInbox needs @temporalio/worker, which is not installed: run `npm i -D @temporalio/worker`',
      { cause: error },
    );
  }
}

/**
 * Temporal's Runtime exists once per process. If the test has not installed its own, this one logs nothing, because tests
 * make workflows fail on purpose, and leaves signals to the test runner.
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
