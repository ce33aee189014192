/**
 * The Temporal server of a chaos run. It is restarted by faults, and whenever it can no longer read its own database: after
 * a cancelled call, the SQLite driver of server 1.29 can answer `interrupted (9)` forever, mostly on a busy machine
 * (https://github.com/temporalio/temporal/pull/9198). The inbox cannot do anything about that.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { startTemporalServer } from '../../src/dev/temporal/server.ts';
import type { TemporalServer, TemporalServerOptions } from '../../src/dev/temporal/server.ts';
import { pause } from '../../src/outbox/session.ts';

export interface ChaosTemporal {
  readonly server: TemporalServer;
  /** Kills the server and starts it again after this time. Several restarts run one after another. */
  restart(downMs: number): Promise<void>;
  /** How often it was restarted because it had lost its database. */
  readonly lostDatabases: number;
  stop(): Promise<void>;
}

const PROBE_INTERVAL_MS = 5_000;
const PROBE_TIMEOUT_MS = 10_000;
/** Failed probes in a row before a restart. A server that has just started may fail for a moment. */
const FAILED_PROBES = 3;

export async function startChaosTemporal(options: TemporalServerOptions): Promise<ChaosTemporal> {
  let server = await startTemporalServer(options);
  let restarting = Promise.resolve();
  let lostDatabases = 0;
  const stopping = new AbortController();
  const connection = Connection.lazy({ address: server.address });

  async function replaceServer(downMs: number): Promise<void> {
    await server.kill();
    await sleep(downMs);
    server = await startTemporalServer(options);
  }
  const restart = (downMs: number) => {
    const done = restarting.then(() => replaceServer(downMs));
    restarting = done.catch(() => {});
    return done;
  };

  async function supervise(): Promise<void> {
    let failures = 0;
    while (!stopping.signal.aborted) {
      await pause(PROBE_INTERVAL_MS, stopping.signal);
      failures = (await hasLostDatabase(connection)) ? failures + 1 : 0;
      if (failures < FAILED_PROBES || stopping.signal.aborted) continue;
      failures = 0;
      lostDatabases += 1;
      await restart(0).catch(() => {});
    }
  }
  const supervising = supervise();
  return {
    get server() {
      return server;
    },
    restart,
    get lostDatabases() {
      return lostDatabases;
    },
    async stop() {
      stopping.abort();
      await supervising;
      await restarting;
      await connection.close();
      await server.stop();
    },
  };
}

/** False while the server is down: the fault that has stopped it also starts it again. */
async function hasLostDatabase(connection: Connection): Promise<boolean> {
  try {
    await connection.withDeadline(Date.now() + PROBE_TIMEOUT_MS, () =>
      connection.workflowService.listNamespaces({ pageSize: 1 }),
    );
    return false;
  } catch (error) {
    return /interrupted \(9\)/.test(String((error as { details?: unknown }).details));
  }
}
