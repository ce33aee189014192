/**
 * Starts everything that the demo needs (servers, fraud check, worker), runs it, and stops everything. demo.ts passes the
 * servers and the worker in.
 *
 * @module
 */
import { once } from 'node:events';
import type { Pool } from 'pg';
import { startFraudService } from './fraud-service.ts';
import type { Sender } from './feed.ts';
import type { Output } from './progress.ts';
import { runDemo } from './run-demo.ts';
import { createBankSchema } from './schema.ts';

export interface Servers {
  databaseUrl: string;
  temporalAddress: string;
  uiUrl: string | null;
  /** Shell commands that configure a terminal for these servers. */
  environment: readonly string[];
  stop(): Promise<void>;
}

/** A running worker with a database pool and a Temporal client. */
export interface RunningWorker extends Sender {
  pool: Pool;
  stop(): Promise<void>;
}

export interface Dependencies {
  startServers: () => Promise<Servers>;
  /** Migrates the inbox and starts a worker with the commands of commands.ts. FRAUD_CHECK_URL is already set. */
  startWorker: (servers: Servers) => Promise<RunningWorker>;
  out: Output;
  argv: readonly string[];
}

/** Resolves when everything has stopped. On a terminal, the servers keep running after the summary until Ctrl-C. */
export async function main({ startServers, startWorker, out, argv }: Dependencies): Promise<void> {
  const all = parseArguments(argv);
  const interrupt = new AbortController();
  const onSignal = (): void => interrupt.abort(new Error('interrupted'));
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);

  // Stop in reverse order: the worker needs the servers for a graceful shutdown.
  const stops: (() => Promise<void>)[] = [];
  try {
    const servers = await startServers();
    stops.push(() => servers.stop());
    const fraudService = await startFraudService();
    stops.push(() => fraudService.stop());
    process.env['FRAUD_CHECK_URL'] = fraudService.url;
    const worker = await startWorker(servers);
    stops.push(() => worker.stop());
    await createBankSchema(worker.pool);

    const { signal } = interrupt;
    await runDemo({
      ...worker,
      webUi:
        servers.uiUrl === null ? null : { url: servers.uiUrl, namespace: worker.client.options.namespace },
      temporalAddress: servers.temporalAddress,
      environment: servers.environment,
      out,
      all,
      signal,
    });
    if (out.isTTY && !signal.aborted) {
      out.write(
        '\nThe servers and the worker keep running so that you can explore them. Press Ctrl-C to stop.\n',
      );
      await once(signal, 'abort');
    }
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    for (const stop of stops.toReversed()) await stop();
  }
}

function parseArguments(argv: readonly string[]): boolean {
  const unknown = argv.find((argument) => argument !== '--all');
  if (unknown !== undefined) {
    throw new Error(
      `unknown argument ${JSON.stringify(unknown)}; the only argument is --all, which sends all purchases`,
    );
  }
  return argv.includes('--all');
}
