/**
 * The faults of a chaos run. Each fault does its damage, waits a little, and repairs what does not recover without it.
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
    run: (system, random) => signalWorker(system, random, 'SIGKILL'),
  },
  'worker suspended for seconds, then resumed': {
    weight: 4,
    async run(system, random) {
      const worker = await pickWorker(system, random);
      worker?.kill('SIGSTOP');
      await sleep(1_000 + random.below(8_000));
      worker?.kill('SIGCONT');
      return worker !== null;
    },
  },
  'worker asked to stop': {
    weight: 3,
    run: (system, random) => signalWorker(system, random, 'SIGTERM'),
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
    run: (system, random) => disturbCommits(system, random, () => ({ when: 'before', how: 'cut' })),
  },
  "COMMIT's answer lost": {
    weight: 14,
    run: (system, random) => disturbCommits(system, random, () => ({ when: 'after', how: 'cut' })),
  },
  'COMMIT held back': {
    weight: 4,
    run: (system, random) => disturbCommits(system, random, holdFor('before', random)),
  },
  "COMMIT's answer held back": {
    weight: 4,
    run: (system, random) => disturbCommits(system, random, holdFor('after', random)),
  },
  'no connections left': { weight: 3, run: exhaustConnections },
  deadlocks: { weight: 4, run: provokeDeadlocks },
  'disk full': { weight: 3, run: fillDisk },
  'Temporal killed': { weight: 9, run: (system, random) => restartTemporal(system, random.below(4_000)) },
  'Temporal down for long': {
    weight: 1,
    run: (system, random) => restartTemporal(system, 15_000 + random.below(25_000)),
  },
  'both servers killed': {
    weight: 1,
    async run(system, random) {
      const downMs = random.below(4_000);
      const both = await Promise.all([restartPostgres(system, random), restartTemporal(system, downMs)]);
      return both.every(Boolean);
    },
  },
  'workflow terminated': { weight: 6, run: (system) => operate(system, ['terminate']) },
  'workflow cancelled': { weight: 2, run: (system) => operate(system, ['cancel']) },
  'workflow deleted': { weight: 2, run: (system) => operate(system, ['delete']) },
  'workflow reset to its beginning': {
    weight: 2,
    run: (system) => operate(system, ['reset', '--type', 'FirstWorkflowTask', '--reason', 'chaos']),
  },
  ...RELEASE_FAULTS,
  ...POOLER_FAULTS,
  ...SNAPSHOT_FAULTS,
  ...READ_ONLY_FAULTS,
  ...STRANGER_FAULTS,
  ...BROKER_FAULTS,
};

/** @param only - parts of fault names, separated by commas; empty selects all faults */
export function chooseFaults(only: string): Record<string, Fault> {
  const parts = only.split(',').filter((part) => part !== '');
  const chosen = Object.entries(FAULTS).filter(
    ([name]) => parts.length === 0 || parts.some((part) => name.includes(part)),
  );
  if (chosen.length === 0) throw new Error(`no fault has a name that contains ${parts.join(' or ')}`);
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

/** A worker takes seconds to restart. After several kills there may be none for a while. */
const WORKER_LIMIT_MS = 20_000;

async function pickWorker({ fleet }: Surroundings, random: Random): Promise<WorkerProcess | null> {
  const deadline = Date.now() + WORKER_LIMIT_MS;
  while (fleet.workers.length === 0) {
    if (Date.now() > deadline) return null;
    await sleep(100);
  }
  return random.pick(fleet.workers);
}

async function signalWorker(system: Surroundings, random: Random, signal: NodeJS.Signals): Promise<boolean> {
  const worker = await pickWorker(system, random);
  worker?.kill(signal);
  return worker !== null;
}

async function restartPostgres({ postgres }: Surroundings, random: Random): Promise<boolean> {
  await postgres.kill();
  await sleep(random.below(3_000));
  await postgres.restart();
  return true;
}

async function restartTemporal({ temporal }: Surroundings, downMs: number): Promise<boolean> {
  await temporal.restart(downMs);
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

/** Holds COMMITs back for up to 8.5 s, which is longer than a transfer's timeout of 5 s. */
function holdFor(when: CommitFault['when'], random: Random): () => CommitFault {
  return () => ({ when, holdMs: 500 + random.below(8_000) });
}

/** Ends some of the workers' connections, then opens connections until the server has none left. */
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

/** Locks accounts in the opposite order of transfers, so that Postgres has to end one of the two transactions. */
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
  // Postgres crashes when it cannot write its log. If it then fails to recover, it stays down and has to be started.
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
 * Runs a command of Temporal's CLI on the workflow of a random entry. Workflows without an entry are left alone: if one is
 * lost before its first claim, the inbox cannot know about it.
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
