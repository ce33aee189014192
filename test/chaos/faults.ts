/**
 * What goes wrong in a chaos run. Each fault does its harm, waits a little, and mends what must be mended.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { Pool } from 'pg';
import type { PostgresServer } from '../../src/dev/postgres-server.ts';
import type { TemporalServer } from '../../src/dev/temporal-server.ts';
import type { Proxy } from '../support/proxy.ts';
import type { WorkerFleet } from '../support/worker-fleet.ts';
import type { Random } from './random.ts';

export interface Surroundings {
  fleet: WorkerFleet;
  proxy: Proxy;
  postgres: PostgresServer;
  temporal: { server: TemporalServer; start: () => Promise<TemporalServer> };
  /** Straight to Postgres, not through the proxy. */
  pool: Pool;
  client: Client;
  random: Random;
}

export type Fault = (around: Surroundings) => Promise<void>;

export const FAULTS: Record<string, { weight: number; run: Fault }> = {
  'worker killed': {
    weight: 30,
    run: async ({ fleet, random }) => pickWorker(fleet, random)?.kill('SIGKILL'),
  },
  'worker stopped for seconds': {
    weight: 4,
    async run({ fleet, random }) {
      const worker = pickWorker(fleet, random);
      worker?.kill('SIGSTOP');
      await sleep(1_000 + random.below(8_000));
      worker?.kill('SIGCONT');
    },
  },
  'worker asked to stop': {
    weight: 3,
    run: async ({ fleet, random }) => pickWorker(fleet, random)?.kill('SIGTERM'),
  },
  'Postgres stopped immediately': { weight: 5, run: restartPostgres },
  'backends terminated': {
    weight: 8,
    async run({ pool }) {
      await pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and random() < 0.4`,
      );
    },
  },
  'connections cut': { weight: 4, run: async ({ proxy }) => proxy.cut() },
  'connections silent': { weight: 1, run: async ({ proxy }) => void proxy.blackhole() },
  'COMMIT cut before it arrives': { weight: 12, run: async ({ proxy }) => proxy.cutNextCommit('before') },
  "COMMIT's answer lost": { weight: 12, run: async ({ proxy }) => proxy.cutNextCommit('after') },
  'Temporal killed': { weight: 5, run: restartTemporal },
  'both servers killed': {
    weight: 1,
    run: async (around) => void (await Promise.all([restartPostgres(around), restartTemporal(around)])),
  },
  'workflow terminated': { weight: 6, run: (around) => endSomeWorkflow(around, 'terminate') },
  'workflow cancelled': { weight: 2, run: (around) => endSomeWorkflow(around, 'cancel') },
};

export function pickFault(random: Random): string {
  const entries = Object.entries(FAULTS);
  let at = random.below(entries.reduce((sum, [, { weight }]) => sum + weight, 0));
  for (const [name, { weight }] of entries) {
    if (at < weight) return name;
    at -= weight;
  }
  throw new Error('the weights do not add up');
}

function pickWorker(fleet: WorkerFleet, random: Random) {
  return fleet.workers.length > 0 ? random.pick(fleet.workers) : undefined;
}

async function restartPostgres({ postgres, random }: Surroundings): Promise<void> {
  await postgres.kill();
  await sleep(random.below(3_000));
  await postgres.restart();
}

async function restartTemporal({ temporal, random }: Surroundings): Promise<void> {
  await temporal.server.kill();
  await sleep(random.below(4_000));
  temporal.server = await temporal.start();
}

/** Of an entry that is there: a start that is taken back before anybody saw it is no fault of the inbox. */
async function endSomeWorkflow({ pool, client }: Surroundings, how: 'terminate' | 'cancel'): Promise<void> {
  const { rows } = await pool.query<{ message_id: string }>(
    `select message_id from inbox.entries where status in ('Processing', 'Failed', 'DeadLetter') order by random() limit 1`,
  );
  if (rows[0]) await client.workflow.getHandle(rows[0].message_id)[how]();
}
