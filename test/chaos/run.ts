/**
 * `npm run chaos -- --minutes N --seed S`: real worker processes of two releases under real load, faults at random from the
 * seed; every few minutes peace, and every invariant. A failure prints its seed, and the story of the commands it found.
 *
 * `--release REF`: the other release, a commit, tag or branch; default the previous commit, `none` for none.
 * `--only PART,PART`: only faults with one of these in their names. `--logs FOLDER`: what each worker said, the faults in
 * their order, and every failed attempt.
 *
 * @module
 */
import { setMaxListeners } from 'node:events';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createInbox } from '../../src/sending/inbox.ts';
import { createLog } from '../../src/platform/log.ts';
import { DEFAULT_TASK_QUEUE } from '../../src/core/protocol.ts';
import { chooseSeed } from '../support/choose-seed.ts';
import { ATTEMPT_INVARIANTS } from './attempt-invariants.ts';
import { check, checkEach, checkReplayable, describeFindings, findingOf, violated } from './checker.ts';
import type { Finding } from './checker.ts';
import type { Scene } from './fault.ts';
import { chooseFaults, pickFault } from './faults.ts';
import { Journal } from './journal.ts';
import { Lasting } from './lasting.ts';
import { createLoad } from './load.ts';
import { resolveDeadLetters } from './operator.ts';
import { PUBLISHED_INVARIANTS } from './published.ts';
import { createRandom } from './random.ts';
import { bringBackBothReleases } from './release-faults.ts';
import { buildRelease, releaseOfThisCheckout } from './releases.ts';
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
    release: { type: 'string', default: 'HEAD~1' },
    only: { type: 'string', default: '' },
    logs: { type: 'string' },
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
const faults = chooseFaults(values.only);
const releases = [releaseOfThisCheckout()];
if (workers > 1 && values.release !== 'none') releases.push(await buildRelease(values.release, say));
if (releases.length === 1) say('workers of one release only: that takes one worker, or --release none');
if (values.logs !== undefined) mkdirSync(values.logs, { recursive: true });
const around = await startSurroundings({
  workers,
  releases,
  onWorkerEnd(name, log) {
    if (values.logs !== undefined) writeFileSync(join(values.logs, `${name}.log`), log);
  },
});
const { fleet, proxy, pool, client } = around;
if (around.disk === null) say('no small disk can be mounted here: it is not filled');
if (around.pooler === null) say('PgBouncer is not installed: nothing is behind a pooler');
const quiet = createLog('error', () => {});
const inboxes = await Promise.all(around.senderPools.map((each) => createInbox({ pool: each, log: quiet })));
const journal = new Journal();
const load = createLoad({
  inboxes,
  twoReleases: releases.length > 1,
  client,
  journal,
  random: createRandom(seed + 1),
  senders: SENDERS,
  rate,
});
const lasting = new Lasting();
/** Violations that faults saw themselves, by the name of the invariant. */
const complaints = new Map<string, Record<string, unknown>[]>();
const operatorRandom = createRandom(seed + 2);
const report: ChaosReport = {
  seed,
  workers,
  stormMinutes: 0,
  faults: {},
  workerDeaths: 0,
  temporalLostDatabase: 0,
  commitsCut: 0,
  commitsHeld: 0,
  figures: {},
  releases: releases.map(({ name, version }) => `${name}: ${version}`),
  load: load.counts,
  replayedAtTheEnd: 0,
  recoveries: [],
  checks: 0,
  violations: 0,
};

const scene: Scene = {
  ...around,
  load,
  journal,
  lasting,
  complain(invariant, example) {
    complaints.set(invariant, [...(complaints.get(invariant) ?? []), example]);
  },
  count: (what, by) => void (report.figures[what] = (report.figures[what] ?? 0) + by),
};

const end = Date.now() + Number(values.minutes) * 60_000;
while (Date.now() < end && report.violations === 0) {
  await storm(Math.min(end, Date.now() + STORM_MS));
  await recover();
  await judge();
  Object.assign(report, {
    workerDeaths: fleet.deaths,
    temporalLostDatabase: around.temporal.lostDatabases,
    commitsCut: proxy.commitsCut,
    commitsHeld: proxy.commitsHeld,
  });
  if (values.report !== undefined) writeFileSync(values.report, `${JSON.stringify(report)}\n`);
}

say(`\n${addReports([report])}`);
await Promise.all(inboxes.map((inbox) => inbox.close()));
await around.stop();
if (report.violations > 0) {
  const again = `--seed ${seed} --minutes ${values.minutes} --workers ${workers} --rate ${rate} --release ${values.release}`;
  say(`\nFAILED: repeat it with ${again}`);
  process.exitCode = 1;
} else {
  say('\nevery invariant holds');
}

/** A line in one of the logs. */
function note(log: string, line: string): void {
  if (values.logs !== undefined) appendFileSync(join(values.logs, `${log}.log`), `${line}\n`);
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
    const name = pickFault(faults, random);
    const started = new Date().toISOString();
    // A fault may find its victim gone: the server it talks to may be down by another fault's doing.
    let problem = '';
    const hit = await faults[name]!.run(scene, random).catch((error: unknown) => {
      problem = String(error);
      return false;
    });
    note('faults', [started, new Date().toISOString(), name, hit ? 'hit' : `missed ${problem}`].join('  '));
    if (hit) report.faults[name] = (report.faults[name] ?? 0) + 1;
    await sleep(300 + random.below(2_200));
  }
  peace.abort();
  await going;
  await lasting.end();
  proxy.cut();
  if (!(await bringBackBothReleases(scene))) say('a worker did not start within a minute');
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
  await around.broker.store(pool);
  await countByRelease();
  await countFailures();
  await noteFailures();
  const findings: Finding[] = [
    replayable,
    ...(await check(pool, journal)),
    ...(await checkEach(pool, [...PUBLISHED_INVARIANTS, ...ATTEMPT_INVARIANTS])),
    ...[...complaints].map(([name, examples]) => findingOf(name, examples)),
  ];
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

async function countByRelease(): Promise<void> {
  const { rows } = await pool.query<{ release: string; count: number }>(
    'select release, count(*)::integer as count from chaos.effects group by release',
  );
  for (const { release, count } of rows)
    report.figures[`commands completed by the ${release} release`] = count;
}

async function countFailures(): Promise<void> {
  const { rows } = await pool.query<{ error_type: string; count: number }>(
    'select error_type, count(*)::integer as count from inbox.failures group by error_type',
  );
  for (const { error_type: type, count } of rows) report.figures[`failed attempts: ${type}`] = count;
}

async function noteFailures(): Promise<void> {
  if (values.logs === undefined) return;
  const { rows } = await pool.query('select * from inbox.failures order by failed_at');
  writeFileSync(join(values.logs, 'failures.log'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}
