/**
 * `npm run soak -- --minutes N --rate R --csv FILE`: one worker and one outbox relay under steady load, with failures, dead
 * letters, replays and pruning, and no fault: what grows while nothing goes wrong would end every service. Reads /proc, so
 * it runs on Linux alone.
 *
 * Entries are pruned after minutes, so that tables stay as large as a retention keeps them; of the invariants those are
 * checked that need nothing of what is pruned.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { appendFileSync, writeFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { createPool } from '../../src/database.ts';
import { startPostgresServer } from '../../src/dev/postgres-server.ts';
import { startTemporalServer } from '../../src/dev/temporal-server.ts';
import { createInbox } from '../../src/inbox.ts';
import { createLog } from '../../src/log.ts';
import { migrate } from '../../src/migrate.ts';
import { DEFAULT_TASK_QUEUE, SEARCH_ATTRIBUTES } from '../../src/protocol.ts';
import { prune } from '../../src/retention.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import { createChaosSchema } from './bank.ts';
import { check, describeFindings, violated } from './checker.ts';
import { Journal } from './journal.ts';
import { createLoad } from './load.ts';
import { resolveDeadLetters } from './operator.ts';
import { createRandom } from './random.ts';
import { watchRecovery } from './recovery.ts';
import { describeSoak, judgeSoak } from './soak-verdict.ts';
import type { SoakSample } from './soak-verdict.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    rate: { type: 'string', default: '12' },
    seed: { type: 'string', default: '1' },
    csv: { type: 'string' },
  },
});
if (process.platform !== 'linux') throw new Error('the soak reads /proc, which only Linux has');
const SAMPLE_MS = 10_000;
const SAMPLES_A_LINE = 6;
const PRUNE_MS = 60_000;
const KEEP_MS = 5 * 60_000;
/** The first letters of the invariants that pruning leaves to be checked. */
const UNPRUNED = /^(1a|1c|2|3a|4|5|7a|7b|11a|13)/;

const say = (line: string) => void process.stdout.write(`${line}\n`);
const minutes = Number(values.minutes);
const seed = Number(values.seed);
const postgres = await startPostgresServer();
// In memory: it is not the server that is looked at.
const temporal = await startTemporalServer({
  uiPort: null,
  searchAttributes: Object.values(SEARCH_ATTRIBUTES),
});
const pool = createPool({ connectionString: postgres.url, max: 12, applicationName: 'soak' });
await migrate(pool);
await createChaosSchema(pool);
await pool.query('create table chaos.crashes (message_id text primary key)');
const worker = await startWorkerProcess(
  { database: { url: postgres.url }, taskQueue: DEFAULT_TASK_QUEUE },
  './chaos-commands.js',
  { TEMPORAL_ADDRESS: temporal.address },
);
const relayPath = fileURLToPath(new URL('../support/soak-relay.js', import.meta.url));
const relay = spawn(process.execPath, [relayPath, postgres.url], { stdio: ['ignore', 'ignore', 'inherit'] });
const connection = await Connection.connect({ address: temporal.address });
const client = new Client({ connection });
const inbox = await createInbox({ pool, log: createLog('error', () => {}) });
const journal = new Journal();
const load = createLoad({
  inbox,
  client,
  taskQueue: DEFAULT_TASK_QUEUE,
  journal,
  random: createRandom(seed),
  senders: 8,
  rate: Number(values.rate),
});

say(`soak: ${minutes} minutes, ${values.rate} commands/s, worker ${worker.pid}, relay ${relay.pid}`);
const over = new AbortController();
setMaxListeners(0, over.signal);
const going = Promise.all([
  load.run(over.signal),
  resolveDeadLetters({ pool, client, random: createRandom(seed + 1), signal: over.signal }),
  pruneRegularly(over.signal),
]);
const samples: SoakSample[] = [];
const begun = Date.now();
while (Date.now() - begun < minutes * 60_000) {
  await sleep(SAMPLE_MS);
  const sample = await takeSample();
  samples.push(sample);
  if (values.csv !== undefined) writeCsv(values.csv, sample);
  if (samples.length % SAMPLES_A_LINE === 0)
    say(`${load.counts.commands} commands ${JSON.stringify(sample)}`);
}
over.abort();
await going;
const recovery = await watchRecovery(pool, journal);
await sleepUntilPublished();
const findings = (await check(pool, journal)).filter(({ name }) => UNPRUNED.test(name));
const verdict = judgeSoak(samples);

say(`\n${load.counts.commands} commands, ${load.counts.repeats} repeats\n\n${describeSoak(verdict)}\n`);
say(describeFindings(findings));
worker.kill('SIGTERM');
relay.kill('SIGTERM');
await worker.ended;
await inbox.close();
await connection.close();
await pool.end();
await temporal.stop();
await postgres.stop();
if (recovery.seconds === null || violated(findings).length > 0 || verdict.some(({ holds }) => !holds)) {
  say('\nFAILED');
  process.exitCode = 1;
}

async function pruneRegularly(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(PRUNE_MS, undefined, { signal }).catch(() => {});
    await prune(pool, {
      completedOlderThanMs: KEEP_MS,
      outboxOlderThanMs: KEEP_MS,
      deadLettersOlderThanMs: KEEP_MS,
      signal,
    });
  }
}

async function takeSample(): Promise<SoakSample> {
  const [ofWorker, ofRelay] = await Promise.all([measure(worker.pid), measure(relay.pid!)]);
  const { rows: sessions } = await pool.query<Pick<SoakSample, 'connections' | 'idleInTransaction'>>(
    `select count(*)::integer as connections,
       (count(*) filter (where state like 'idle in transaction%' and state_change < now() - interval '1 s'))::integer
         as "idleInTransaction"
     from pg_stat_activity where datname = current_database() and application_name like 'inbox %'`,
  );
  const { rows: tables } = await pool.query<Pick<SoakSample, 'liveTuples' | 'deadTuples' | 'tableMegabytes'>>(
    `select sum(n_live_tup)::integer as "liveTuples", sum(n_dead_tup)::integer as "deadTuples",
       (sum(pg_total_relation_size(relid)) / 1048576)::integer as "tableMegabytes"
     from pg_stat_user_tables where schemaname = 'inbox'`,
  );
  return {
    minutes: Math.round((Date.now() - begun) / 6_000) / 10,
    workerMegabytes: ofWorker.megabytes,
    workerFiles: ofWorker.files,
    relayMegabytes: ofRelay.megabytes,
    relayFiles: ofRelay.files,
    ...sessions[0]!,
    ...tables[0]!,
  };
}

async function measure(pid: number): Promise<{ megabytes: number; files: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const files = await readdir(`/proc/${pid}/fd`);
  const kilobytes = Number(/VmRSS:\s+(\d+)/.exec(status)![1]);
  return { megabytes: Math.round(kilobytes / 1_024), files: files.length };
}

function writeCsv(path: string, sample: SoakSample): void {
  if (samples.length === 1) writeFileSync(path, `${Object.keys(sample).join(',')}\n`);
  appendFileSync(path, `${Object.values(sample).join(',')}\n`);
}

async function sleepUntilPublished(): Promise<void> {
  const unpublished = 'select from inbox.outbox where published_at is null limit 1';
  while ((await pool.query(unpublished)).rowCount !== 0) await sleep(500);
}
