/**
 * What the demo needs around it: servers, a worker, and an orderly end. demo.ts says which.
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
  /** Lines for a shell that reach these servers. */
  environment: readonly string[];
  stop(): Promise<void>;
}

/** A worker that polls, and the connections to talk to it. */
export interface RunningWorker extends Sender {
  pool: Pool;
  stop(): Promise<void>;
}

export interface Parts {
  startServers: () => Promise<Servers>;
  /** Migrates the inbox, then starts a worker with commands.ts. Called with FRAUD_CHECK_URL set. */
  startWorker: (servers: Servers) => Promise<RunningWorker>;
  out: Output;
  argv: readonly string[];
}

/** Resolves when all has stopped: at once after the summary without a terminal, with one after Ctrl-C. */
export async function main({ startServers, startWorker, out, argv }: Parts): Promise<void> {
  const all = parseArguments(argv);
  const interrupt = new AbortController();
  const onSignal = (): void => interrupt.abort(new Error('interrupted'));
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);

  // What was started last is stopped first: the worker still needs the servers to end well.
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
      uiUrl: servers.uiUrl,
      temporalAddress: servers.temporalAddress,
      environment: servers.environment,
      out,
      all,
      signal,
    });
    if (out.isTTY && !signal.aborted) {
      out.write('\nServers and worker stay up for you to look around; Ctrl-C ends them.\n');
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
    throw new Error(`unknown argument ${JSON.stringify(unknown)}; the only one is --all, for all purchases`);
  }
  return argv.includes('--all');
}
