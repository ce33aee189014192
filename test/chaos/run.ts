/**
 * `npm run chaos -- --minutes N --seed S` runs real worker processes of two releases under real load, with random faults
 * from the seed. Every few minutes the faults pause and every invariant is checked. A failure prints the seed and everything
 * that Postgres knows about the commands in question.
 *
 * `--release REF` is the other release: a commit, tag or branch. The default is the previous commit; `none` runs without
 * one. `--only PART,PART` allows only faults with one of these parts in their names. `--logs FOLDER` writes the log of each
 * worker, the faults in order, and every failed attempt to this folder.
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
import { BackgroundFaults } from './lasting.ts';
import { createLoad } from './load.ts';
import { resolveDeadLetters } from './operator.ts';
import { PUBLISHED_INVARIANTS } from './published.ts';
import { createRandom } from './random.ts';
import { restoreBothReleases } from './release-faults.ts';
import { buildRelease, releaseOfThisCheckout } from './releases.ts';
import { describeMessage, waitForDeliveries, watchRecovery } from './recovery.ts';
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
/** How long faults follow each other before they pause for the checks. */
const STORM_MS = 4 * 60_000;
const SENDERS = 16;

const say = (line: string) => void process.stdout.write(`${line}\n`);
const random = createRandom(seed);
say(`chaos: seed ${seed}, ${values.minutes} minutes, ${workers} workers, ${rate} commands/s`);
const faults = chooseFaults(values.only);
const releases = [releaseOfThisCheckout()];
if (workers > 1 && values.release !== 'none') releases.push(await buildRelease(values.release, say));
if (releases.length === 1) say('running one release only, because of --workers 1 or --release none');
if (values.logs !== undefined) mkdirSync(values.logs, { recursive: true });
const system = await startSurroundings({
  workers,
  releases,
  onWorkerEnd(name, log) {
    if (values.logs !== undefined) writeFileSync(join(values.logs, `${name}.log`), log);
  },
});
const { fleet, proxy, pool, client } = system;
if (system.disk === null) say('cannot mount a small disk here: the fault "disk full" is left out');
if (system.pooler === null) say('PgBouncer is not installed: running without a pooler');
const quiet = createLog('error', () => {});
const inboxes = await Promise.all(system.senderPools.map((each) => createInbox({ pool: each, log: quiet })));
const journal = new Journal();
const load = createLoad({
  inboxes,
  twoReleases: releases.length > 1,
  typedWorkflows: releases.every((release) => release.typedWorkflows),
  client,
  journal,
  random: createRandom(seed + 1),
  senders: SENDERS,
  rate,
});
const background = new BackgroundFaults();
/** Violations that faults have found themselves, by the name of the invariant. */
const reported = new Map<string, Record<string, unknown>[]>();
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
  ...system,
  load,
  journal,
  background,
  reportViolation(invariant, example) {
    reported.set(invariant, [...(reported.get(invariant) ?? []), example]);
  },
  count: (what, by) => void (report.figures[what] = (report.figures[what] ?? 0) + by),
};

const end = Date.now() + Number(values.minutes) * 60_000;
while (Date.now() < end && report.violations === 0) {
  await storm(Math.min(end, Date.now() + STORM_MS));
  await recover();
  await checkInvariants();
  Object.assign(report, {
    workerDeaths: fleet.deaths,
    temporalLostDatabase: system.temporal.lostDatabases,
    commitsCut: proxy.commitsCut,
    commitsHeld: proxy.commitsHeld,
  });
  if (values.report !== undefined) writeFileSync(values.report, `${JSON.stringify(report)}\n`);
}

say(`\n${addReports([report])}`);
await Promise.all(inboxes.map((inbox) => inbox.close()));
await system.stop();
if (report.violations > 0) {
  const options = `--seed ${seed} --minutes ${values.minutes} --workers ${workers} --rate ${rate} --release ${values.release}`;
  say(`\nFAILED: repeat it with ${options}`);
  process.exitCode = 1;
} else {
  say('\nevery invariant holds');
}

/** Appends a line to a file in the folder of `--logs`. */
function appendToLog(log: string, line: string): void {
  if (values.logs !== undefined) appendFileSync(join(values.logs, `${log}.log`), `${line}\n`);
}

async function storm(until: number): Promise<void> {
  const begun = Date.now();
  const over = new AbortController();
  // Every sender listens to the signal while it waits.
  setMaxListeners(0, over.signal);
  const running = Promise.all([
    load.run(over.signal),
    resolveDeadLetters({ pool, client, random: operatorRandom, signal: over.signal }),
  ]);
  while (Date.now() < until) {
    const name = pickFault(faults, random);
    const started = new Date().toISOString();
    // A fault may fail because another fault has stopped the server that it needs.
    let problem = '';
    const hit = await faults[name]!.run(scene, random).catch((error: unknown) => {
      problem = String(error);
      return false;
    });
    appendToLog(
      'faults',
      [started, new Date().toISOString(), name, hit ? 'hit' : `missed ${problem}`].join('  '),
    );
    if (hit) report.faults[name] = (report.faults[name] ?? 0) + 1;
    await sleep(300 + random.below(2_200));
  }
  over.abort();
  await running;
  await background.end();
  proxy.cut();
  if (!(await restoreBothReleases(scene))) say('a worker did not start within a minute');
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

/** Runs while the workers still run, because a transaction left open in one of their pools would end with the worker. */
async function checkInvariants(): Promise<void> {
  const operator = { pool, client, taskQueue: DEFAULT_TASK_QUEUE, waitMs: 60_000 };
  const { rows } = await pool.query<{ open: number }>(
    'select count(*)::integer as open from inbox.dead_letters where resolution is null',
  );
  report.replayedAtTheEnd += rows[0]!.open;
  const replayable = await checkReplayable(operator);
  await watchRecovery(pool, journal);
  await waitForDeliveries(pool);
  await system.broker.store(pool);
  await countByRelease();
  await countFailures();
  await logFailures();
  const findings: Finding[] = [
    replayable,
    ...(await check(pool, journal)),
    ...(await checkEach(pool, [...PUBLISHED_INVARIANTS, ...ATTEMPT_INVARIANTS])),
    ...[...reported].map(([name, examples]) => findingOf(name, examples)),
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
  for (const messageId of [...new Set(ids)].slice(0, 5)) say(`\n${await describeMessage(pool, messageId)}`);
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

async function logFailures(): Promise<void> {
  if (values.logs === undefined) return;
  const { rows } = await pool.query('select * from inbox.failures order by failed_at');
  writeFileSync(join(values.logs, 'failures.log'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}
