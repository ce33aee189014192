/**
 * The Temporal server of a chaos run. It is restarted by faults, and when it can no longer read its own database: the
 * driver for SQLite in server 1.29 can answer `interrupted (9)` for ever once a call was cancelled, most of all on a busy machine
 * (https://github.com/temporalio/temporal/pull/9198). No inbox can do anything about that.
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
  /** Kills it; it is back after this time. One restart at a time. */
  restart(awayMs: number): Promise<void>;
  /** How often it was restarted because it had lost its database. */
  readonly lostDatabases: number;
  stop(): Promise<void>;
}

const LOOK_EVERY_MS = 5_000;
const LOOK_LIMIT_MS = 10_000;
/** Just after its start a server knows no namespace for a moment. */
const LOOKS = 3;

export async function startChaosTemporal(options: TemporalServerOptions): Promise<ChaosTemporal> {
  let server = await startTemporalServer(options);
  let restarting = Promise.resolve();
  let lostDatabases = 0;
  const stopping = new AbortController();
  const connection = Connection.lazy({ address: server.address });

  async function replaceServer(awayMs: number): Promise<void> {
    await server.kill();
    await sleep(awayMs);
    server = await startTemporalServer(options);
  }
  const restart = (awayMs: number) => {
    const done = restarting.then(() => replaceServer(awayMs));
    restarting = done.catch(() => {});
    return done;
  };

  async function supervise(): Promise<void> {
    let lost = 0;
    while (!stopping.signal.aborted) {
      await pause(LOOK_EVERY_MS, stopping.signal);
      lost = (await hasLostDatabase(connection)) ? lost + 1 : 0;
      if (lost < LOOKS || stopping.signal.aborted) continue;
      lost = 0;
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

/** Not when it is away: then it is a fault that brings it back. */
async function hasLostDatabase(connection: Connection): Promise<boolean> {
  try {
    await connection.withDeadline(Date.now() + LOOK_LIMIT_MS, () =>
      connection.workflowService.listNamespaces({ pageSize: 1 }),
    );
    return false;
  } catch (error) {
    return /interrupted \(9\)/.test(String((error as { details?: unknown }).details));
  }
}
