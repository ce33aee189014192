/**
 * `npm run chaos -- --minutes N --seed S`: real worker processes under real load, faults at random from the seed, then
 * peace, and every invariant. A failure prints its seed.
 *
 * @module
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { createPool } from '../../src/database.ts';
import { choosePort } from '../../src/dev/ports.ts';
import { startPostgresServer } from '../../src/dev/postgres-server.ts';
import { startTemporalServer } from '../../src/dev/temporal-server.ts';
import { createInbox } from '../../src/inbox.ts';
import { createLog } from '../../src/log.ts';
import { migrate } from '../../src/migrate.ts';
import { DEFAULT_TASK_QUEUE, SEARCH_ATTRIBUTES } from '../../src/protocol.ts';
import { startProxy } from '../support/proxy.ts';
import { startFleet } from '../support/worker-fleet.ts';
import { createChaosSchema } from './bank.ts';
import { check, describeFindings, violated } from './checker.ts';
import { FAULTS, pickFault } from './faults.ts';
import type { Surroundings } from './faults.ts';
import { Journal } from './journal.ts';
import { runLoad } from './load.ts';
import { resolveDeadLetters } from './operator.ts';
import { createRandom } from './random.ts';
import { watchRecovery } from './recovery.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    workers: { type: 'string', default: '3' },
    rate: { type: 'string', default: '20' },
  },
});
const seed = Number(values.seed);
const say = (line: string) => void process.stdout.write(`${line}\n`);
const random = createRandom(seed);
const folder = await mkdtemp(join(tmpdir(), 'temporal-inbox-chaos-'));

say(`chaos: seed ${seed}, ${values.minutes} minutes, ${values.workers} workers, ${values.rate} commands/s`);
const postgres = await startPostgresServer();
const proxy = await startProxy(postgres.port);
const port = await choosePort();
const startTemporal = () =>
  startTemporalServer({
    port,
    uiPort: null,
    dbFile: join(folder, 'temporal', 'temporal.db'),
    searchAttributes: Object.values(SEARCH_ATTRIBUTES),
  });
const temporal = { server: await startTemporal(), start: startTemporal };
const pool = createPool({ connectionString: postgres.url, max: 12, applicationName: 'chaos' });
await migrate(pool);
await createChaosSchema(pool);
await pool.query('create table chaos.crashes (message_id text primary key)');

const proxied = new URL(postgres.url);
proxied.port = String(proxy.port);
const fleet = await startFleet(
  { database: { url: proxied.href }, taskQueue: DEFAULT_TASK_QUEUE },
  './chaos-commands.js',
  Number(values.workers),
  { TEMPORAL_ADDRESS: `127.0.0.1:${port}` },
);
const connection = await Connection.connect({ address: `127.0.0.1:${port}` });
const client = new Client({ connection });
const inbox = await createInbox({ pool, log: createLog('error', () => {}) });
const around: Surroundings = { fleet, proxy, postgres, temporal, pool, client, random };
const journal = new Journal();

const peace = new AbortController();
const injected = new Map<string, number>();
const loading = runLoad({
  inbox,
  client,
  taskQueue: DEFAULT_TASK_QUEUE,
  journal,
  random: createRandom(seed + 1),
  senders: 8,
  rate: Number(values.rate),
  signal: peace.signal,
});
const resolving = resolveDeadLetters({ pool, client, random: createRandom(seed + 2), signal: peace.signal });
const end = Date.now() + Number(values.minutes) * 60_000;
while (Date.now() < end) {
  const fault = pickFault(random);
  // A fault may find its victim gone: the server it talks to may be down by another fault's doing.
  await FAULTS[fault]!.run(around).catch(() => {});
  injected.set(fault, (injected.get(fault) ?? 0) + 1);
  // A worker takes seconds to come back: faults that follow more closely find nobody to hit.
  await sleep(500 + random.below(3_500));
}
peace.abort();
const counts = await loading;
await resolving;
for (const worker of fleet.workers) worker.kill('SIGCONT');
proxy.cut();

const recovery = await watchRecovery(pool);
// While the workers run: a transaction left open in one of their pools would go with them.
const findings = await check(pool, journal);
await fleet.stop();

say('\nfaults');
for (const fault of Object.keys(FAULTS)) say(`${String(injected.get(fault) ?? 0).padStart(6)}  ${fault}`);
say(`${String(fleet.deaths).padStart(6)}  worker deaths in all`);
say(`${String(proxy.commitsCut).padStart(6)}  COMMITs really cut`);
say(`\nload: ${JSON.stringify(counts)}; messages in the journal: ${journal.lines.length}`);
say(`recovery: ${recovery.describe}`);
say(`\n${describeFindings(findings)}`);

await inbox.close();
await connection.close();
await pool.end();
await proxy.close();
await temporal.server.stop();
await postgres.stop();
await rm(folder, { recursive: true, force: true });

if (violated(findings).length > 0 || !recovery.complete) {
  say(
    `\nFAILED: repeat it with --seed ${seed} --minutes ${values.minutes} --workers ${values.workers} --rate ${values.rate}`,
  );
  process.exitCode = 1;
} else {
  say('\nevery invariant holds');
}
