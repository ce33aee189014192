/**
 * What goes wrong in a chaos run. Each fault does its harm, waits a little, and mends what must be mended.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client as PgClient } from 'pg';
import type { WorkerProcess } from '../support/worker-process.ts';
import type { CommitFault } from '../support/proxy.ts';
import { ACCOUNTS } from './bank.ts';
import { BROKER_FAULTS } from './broker-fault.ts';
import type { Fault } from './fault.ts';
import { POOLER_FAULTS } from './pooler-faults.ts';
import type { Random } from './random.ts';
import { READ_ONLY_FAULTS } from './read-only-faults.ts';
import { RELEASE_FAULTS } from './release-faults.ts';
import { SNAPSHOT_FAULTS } from './snapshot-fault.ts';
import { STRANGER_FAULTS } from './stranger-fault.ts';
import type { Surroundings } from './surroundings.ts';

const execute = promisify(execFile);

export const FAULTS: Record<string, Fault> = {
  'worker killed': {
    weight: 36,
    run: (around, random) => signalWorker(around, random, 'SIGKILL'),
  },
  'worker stopped for seconds, then continued': {
    weight: 4,
    async run(around, random) {
      const worker = await pickWorker(around, random);
      worker?.kill('SIGSTOP');
      await sleep(1_000 + random.below(8_000));
      worker?.kill('SIGCONT');
      return worker !== null;
    },
  },
  'worker asked to stop': {
    weight: 3,
    run: (around, random) => signalWorker(around, random, 'SIGTERM'),
  },
  'Postgres stopped immediately': { weight: 9, run: restartPostgres },
  'backends terminated': {
    weight: 8,
    async run({ pool }) {
      const { rowCount } = await pool.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and random() < 0.4`,
      );
      return rowCount !== 0;
    },
  },
  'connections cut': { weight: 4, run: async ({ proxy }) => done(proxy.cut()) },
  'connections silent': { weight: 1, run: async ({ proxy }) => proxy.blackhole() > 0 },
  'connections slow': {
    weight: 2,
    async run({ proxy }, random) {
      proxy.slow(20 + random.below(300));
      await sleep(1_000 + random.below(5_000));
      return done(proxy.slow(0));
    },
  },
  'COMMIT cut before it arrives': {
    weight: 14,
    run: (around, random) => disturbCommits(around, random, () => ({ when: 'before', how: 'cut' })),
  },
  "COMMIT's answer lost": {
    weight: 14,
    run: (around, random) => disturbCommits(around, random, () => ({ when: 'after', how: 'cut' })),
  },
  'COMMIT held back': {
    weight: 4,
    run: (around, random) => disturbCommits(around, random, holdFor('before', random)),
  },
  "COMMIT's answer held back": {
    weight: 4,
    run: (around, random) => disturbCommits(around, random, holdFor('after', random)),
  },
  'no connection to be had': { weight: 3, run: exhaustConnections },
  deadlocks: { weight: 4, run: provokeDeadlocks },
  'disk full': { weight: 3, run: fillDisk },
  'Temporal killed': { weight: 9, run: (around, random) => restartTemporal(around, random.below(4_000)) },
  'Temporal away for long': {
    weight: 1,
    run: (around, random) => restartTemporal(around, 15_000 + random.below(25_000)),
  },
  'both servers killed': {
    weight: 1,
    async run(around, random) {
      const away = random.below(4_000);
      const both = await Promise.all([restartPostgres(around, random), restartTemporal(around, away)]);
      return both.every(Boolean);
    },
  },
  'workflow terminated': { weight: 6, run: (around) => operate(around, ['terminate']) },
  'workflow cancelled': { weight: 2, run: (around) => operate(around, ['cancel']) },
  'workflow deleted': { weight: 2, run: (around) => operate(around, ['delete']) },
  'workflow reset to its beginning': {
    weight: 2,
    run: (around) => operate(around, ['reset', '--type', 'FirstWorkflowTask', '--reason', 'chaos']),
  },
  ...RELEASE_FAULTS,
  ...POOLER_FAULTS,
  ...SNAPSHOT_FAULTS,
  ...READ_ONLY_FAULTS,
  ...STRANGER_FAULTS,
  ...BROKER_FAULTS,
};

/** @param only - parts of names, separated by commas; empty for all of them */
export function chooseFaults(only: string): Record<string, Fault> {
  const parts = only.split(',').filter((part) => part !== '');
  const chosen = Object.entries(FAULTS).filter(
    ([name]) => parts.length === 0 || parts.some((part) => name.includes(part)),
  );
  if (chosen.length === 0) throw new Error(`no fault has ${parts.join(' or ')} in its name`);
  return Object.fromEntries(chosen);
}

export function pickFault(faults: Record<string, Fault>, random: Random): string {
  const entries = Object.entries(faults);
  let at = random.below(entries.reduce((sum, [, { weight }]) => sum + weight, 0));
  for (const [name, { weight }] of entries) {
    if (at < weight) return name;
    at -= weight;
  }
  throw new Error('the weights do not add up');
}

const done = (_harm: void) => true;

/** A worker takes seconds to come back: after some kills there is none to hit for a while. */
const WORKER_LIMIT_MS = 20_000;

async function pickWorker({ fleet }: Surroundings, random: Random): Promise<WorkerProcess | null> {
  const deadline = Date.now() + WORKER_LIMIT_MS;
  while (fleet.workers.length === 0) {
    if (Date.now() > deadline) return null;
    await sleep(100);
  }
  return random.pick(fleet.workers);
}

async function signalWorker(around: Surroundings, random: Random, signal: NodeJS.Signals): Promise<boolean> {
  const worker = await pickWorker(around, random);
  worker?.kill(signal);
  return worker !== null;
}

async function restartPostgres({ postgres }: Surroundings, random: Random): Promise<boolean> {
  await postgres.kill();
  await sleep(random.below(3_000));
  await postgres.restart();
  return true;
}

async function restartTemporal({ temporal }: Surroundings, awayMs: number): Promise<boolean> {
  await temporal.restart(awayMs);
  return true;
}

async function disturbCommits(
  { proxy }: Surroundings,
  random: Random,
  make: () => CommitFault,
): Promise<boolean> {
  const count = 1 + random.below(3);
  for (let n = 0; n < count; n += 1) proxy.disturbNextCommit(make());
  return true;
}

/** Up to well past a transfer's timeout of 5 s. */
function holdFor(when: CommitFault['when'], random: Random): () => CommitFault {
  return () => ({ when, holdMs: 500 + random.below(8_000) });
}

/** Takes every connection that the server has left, after some of the worker's own were ended. */
async function exhaustConnections({ postgres, pool }: Surroundings, random: Random): Promise<boolean> {
  const taken: PgClient[] = [];
  const take = async () => {
    const client = new PgClient({ connectionString: postgres.url, application_name: 'chaos hog' });
    client.on('error', () => {});
    await client.connect();
    taken.push(client);
  };
  try {
    await pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name like 'inbox%' and random() < 0.3`,
    );
    while (taken.length < 500) await take();
    return false;
  } catch {
    await sleep(1_000 + random.below(4_000));
    return true;
  } finally {
    await Promise.all(taken.map((client) => client.end().catch(() => {})));
  }
}

/** Locks accounts in the order that transfers do not use, so that one of the two has to give way. */
async function provokeDeadlocks({ pool }: Surroundings, random: Random): Promise<boolean> {
  const end = Date.now() + 3_000 + random.below(3_000);
  let provoked = false;
  while (Date.now() < end) {
    const client = await pool.connect();
    try {
      await client.query('begin');
      for (let id = ACCOUNTS - 1; id >= 0; id -= 1 + random.below(4)) {
        await client.query('select from chaos.accounts where id = $1 for update', [id]);
        await sleep(random.below(60));
      }
    } catch (error) {
      if ((error as { code?: string }).code === '40P01') provoked = true;
    } finally {
      await client.query('rollback').catch(() => {});
      client.release();
    }
    await sleep(random.below(500));
  }
  return provoked;
}

async function fillDisk({ disk, postgres, pool }: Surroundings, random: Random): Promise<boolean> {
  if (disk === null) return false;
  await disk.fill();
  await sleep(1_000 + random.below(4_000));
  await disk.drain();
  // A server that cannot write its log gives up; one that cannot read its checkpoint back does not even start.
  const answers = () =>
    pool.query('select 1').then(
      () => true,
      () => false,
    );
  const deadline = Date.now() + 5_000;
  while (!(await answers())) {
    if (Date.now() > deadline) {
      await postgres.restart();
      break;
    }
    await sleep(200);
  }
  return true;
}

/**
 * What somebody types at a workflow, of an entry that is there: a start that is taken back before anybody saw it is no
 * fault of the inbox.
 */
async function operate({ pool, temporal }: Surroundings, command: string[]): Promise<boolean> {
  const { rows } = await pool.query<{ message_id: string }>(
    `select message_id from inbox.entries where status in ('Processing', 'Failed', 'DeadLetter') order by random() limit 1`,
  );
  if (!rows[0]) return false;
  const { binary, address } = temporal.server;
  await execute(binary, ['workflow', ...command, '--workflow-id', rows[0].message_id, '--address', address], {
    timeout: 10_000,
  });
  return true;
}
