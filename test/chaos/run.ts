/**
 * `npm run chaos -- --minutes N --seed S`: real worker processes under real load, faults at random from the seed; every
 * few minutes peace, and every invariant. A failure prints its seed, and the story of the commands it found.
 *
 * @module
 */
import { setMaxListeners } from 'node:events';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createInbox } from '../../src/inbox.ts';
import { createLog } from '../../src/log.ts';
import { DEFAULT_TASK_QUEUE } from '../../src/protocol.ts';
import { chooseSeed } from '../support/choose-seed.ts';
import { check, checkReplayable, describeFindings, violated } from './checker.ts';
import type { Finding } from './checker.ts';
import { FAULTS, pickFault } from './faults.ts';
import { Journal } from './journal.ts';
import { createLoad } from './load.ts';
import { resolveDeadLetters } from './operator.ts';
import { createRandom } from './random.ts';
import { tellStory, watchWhatFollows, watchRecovery } from './recovery.ts';
import { addReports } from './report.ts';
import type { ChaosReport } from './report.ts';
import { startSurroundings } from './surroundings.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string', default: String(chooseSeed()) },
    workers: { type: 'string', default: '3' },
    rate: { type: 'string', default: '20' },
    report: { type: 'string' },
  },
});
const seed = Number(values.seed);
const workers = Number(values.workers);
const rate = Number(values.rate);
/** Faults go on for so long before there is peace for a while. */
const STORM_MS = 4 * 60_000;
const SENDERS = 16;

const say = (line: string) => void process.stdout.write(`${line}\n`);
const random = createRandom(seed);
say(`chaos: seed ${seed}, ${values.minutes} minutes, ${workers} workers, ${rate} commands/s`);
const around = await startSurroundings(workers);
const { fleet, proxy, pool, client } = around;
if (around.disk === null) say('no small disk can be mounted here: it is not filled');
const quiet = createLog('error', () => {});
const inbox = await createInbox({ pool, log: quiet });
const journal = new Journal();
const load = createLoad({
  inbox,
  client,
  journal,
  random: createRandom(seed + 1),
  senders: SENDERS,
  rate,
});
const operatorRandom = createRandom(seed + 2);
const report: ChaosReport = {
  seed,
  workers,
  stormMinutes: 0,
  faults: {},
  workerDeaths: 0,
  commitsCut: 0,
  commitsHeld: 0,
  load: load.counts,
  replayedAtTheEnd: 0,
  recoveries: [],
  checks: 0,
  violations: 0,
};

const end = Date.now() + Number(values.minutes) * 60_000;
while (Date.now() < end && report.violations === 0) {
  await storm(Math.min(end, Date.now() + STORM_MS));
  await recover();
  await judge();
  Object.assign(report, {
    workerDeaths: fleet.deaths,
    commitsCut: proxy.commitsCut,
    commitsHeld: proxy.commitsHeld,
  });
  if (values.report !== undefined) writeFileSync(values.report, `${JSON.stringify(report)}\n`);
}

say(`\n${addReports([report])}`);
await inbox.close();
await around.stop();
if (report.violations > 0) {
  const again = `--seed ${seed} --minutes ${values.minutes} --workers ${workers} --rate ${rate}`;
  say(`\nFAILED: repeat it with ${again}`);
  process.exitCode = 1;
} else {
  say('\nevery invariant holds');
}

async function storm(until: number): Promise<void> {
  const begun = Date.now();
  const peace = new AbortController();
  // Every sender listens to it while it waits.
  setMaxListeners(0, peace.signal);
  const going = Promise.all([
    load.run(peace.signal),
    resolveDeadLetters({ pool, client, random: operatorRandom, signal: peace.signal }),
  ]);
  while (Date.now() < until) {
    const name = pickFault(random);
    // A fault may find its victim gone: the server it talks to may be down by another fault's doing.
    const hit = await FAULTS[name]!.run(around, random).catch(() => false);
    if (hit) report.faults[name] = (report.faults[name] ?? 0) + 1;
    await sleep(300 + random.below(2_200));
  }
  peace.abort();
  await going;
  proxy.cut();
  report.stormMinutes += (Date.now() - begun) / 60_000;
}

async function recover(): Promise<void> {
  const recovery = await watchRecovery(pool, journal);
  report.recoveries.push(recovery);
  const { open, endedWithin30s, seconds } = recovery;
  say(
    `${new Date().toISOString()} ${load.counts.commands} commands, ${fleet.deaths} worker deaths; ` +
      `open ${open}, ended within 30 s ${endedWithin30s}, all after ${seconds ?? '(never)'} s`,
  );
}

/** While the workers run: a transaction left open in one of their pools would go with them. */
async function judge(): Promise<void> {
  const operator = { pool, client, taskQueue: DEFAULT_TASK_QUEUE, waitMs: 60_000 };
  const { rows } = await pool.query<{ open: number }>(
    'select count(*)::integer as open from inbox.dead_letters where resolution is null',
  );
  report.replayedAtTheEnd += rows[0]!.open;
  const replayable = await checkReplayable(operator);
  await watchRecovery(pool, journal);
  await watchWhatFollows(pool);
  const findings: Finding[] = [replayable, ...(await check(pool, journal))];
  report.checks += 1;
  const broken = violated(findings);
  report.violations += broken.reduce((sum, { violations }) => sum + violations, 0);
  if (broken.length === 0) return;
  say(`\n${describeFindings(findings)}`);
  const ids = broken.flatMap(({ examples }) =>
    examples.flatMap((line) => {
      const row = JSON.parse(line) as Record<string, unknown>;
      return [row['message_id'] ?? row['messageId']].filter((id) => typeof id === 'string');
    }),
  );
  for (const messageId of [...new Set(ids)].slice(0, 5)) say(`\n${await tellStory(pool, messageId)}`);
}
