/**
 * `npm run soak -- --minutes N --rate R --seed S --csv FILE` runs one worker and one outbox relay under steady load, with
 * failures, dead letters, replays and pruning, but without faults. Anything that grows under these conditions would
 * eventually bring a service down. Reads /proc, so it runs only on Linux.
 *
 * Entries are pruned after minutes, so tables stay as large as they do with a retention. Rows of entries, failures and the
 * audit stay by design, so their number is not judged, but the number of their dead rows is.
 *
 * @module
 */
import { setMaxListeners } from 'node:events';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createInbox } from '../../src/sending/inbox.ts';
import { createLog } from '../../src/platform/log.ts';
import { pause } from '../../src/outbox/session.ts';
import { DEFAULT_TASK_QUEUE } from '../../src/core/protocol.ts';
import { prune } from '../../src/retention/retention.ts';
import { allPublished } from '../support/outbox.ts';
import { checkReplayable, describeFindings, violated } from './checker.ts';
import type { Finding } from './checker.ts';
import { Journal } from './journal.ts';
import { createLoad } from './load.ts';
import { resolveDeadLetters } from './operator.ts';
import { createRandom } from './random.ts';
import { watchRecovery } from './recovery.ts';
import { checkAfterSoak } from './soak-checks.ts';
import { measure } from './soak-sample.ts';
import { startSoakSystem } from './soak-system.ts';
import { describeSoak, judgeSoak } from './soak-verdict.ts';
import type { SoakSample } from './soak-verdict.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    rate: { type: 'string', default: '12' },
    seed: { type: 'string', default: '1' },
    csv: { type: 'string', default: join(tmpdir(), `soak-${process.pid}.csv`) },
  },
});
const SAMPLE_MS = 10_000;
const SAMPLES_PER_LINE = 6;
const MINIMUM_MINUTES = 2;
const SENDERS = 8;
const MAXIMUM_KEEP_MS = 5 * 60_000;

if (process.platform !== 'linux') throw new Error('the soak reads /proc, which only Linux has');
const minutes = readNumber('minutes', MINIMUM_MINUTES);
const rate = readNumber('rate', 0.1);
const seed = readNumber('seed', 0);
/** 5 minutes in a run of an hour, less in a shorter run: tables must reach their full size before the warm-up is over. */
const keepMs = Math.round(Math.min(MAXIMUM_KEEP_MS, (minutes * 60_000) / 12));
const pruneMs = keepMs / 5;

const say = (line: string) => void process.stdout.write(`${line}\n`);
const stopped = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => stopped.abort(new Error(`stopped by ${signal}`)));
}
const system = await startSoakSystem();
const { pool, client, worker, relay } = system;
const inbox = await createInbox({ pool, log: createLog('error', () => {}) });
const journal = new Journal();
const load = createLoad({
  inboxes: [inbox],
  twoReleases: false,
  typedWorkflows: true,
  client,
  journal,
  random: createRandom(seed),
  senders: SENDERS,
  rate,
});
try {
  say(`soak: ${minutes} minutes, ${rate} commands/s, seed ${seed}; worker ${worker.pid}, relay ${relay.pid}`);
  say(`samples: ${values.csv}`);
  const samples = await soak();
  const growths = judgeSoak(samples);
  const findings = await settleAndCheck();
  say(
    `\n${load.counts.commands} commands, ${load.counts.repeats} repeats, ${load.counts.unknown} without an answer`,
  );
  say(`\n${describeSoak(growths)}\n\n${describeFindings(findings)}`);
  printWarnings();
  const holds = growths.every((growth) => growth.holds) && violated(findings).length === 0;
  say(holds ? '\nnothing grows, and every check holds' : '\nFAILED');
  process.exitCode = holds ? 0 : 1;
} finally {
  await inbox.close();
  await system.stop();
}

/** Runs the load and takes samples, until the time is over or something has ended unexpectedly. */
async function soak(): Promise<SoakSample[]> {
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  const running = Promise.all([
    load.run(over.signal),
    resolveDeadLetters({ pool, client, random: createRandom(seed + 1), signal: over.signal }),
    pruneRegularly(over.signal),
  ]);
  const ended = Promise.race([
    worker.ended.then(() => `the worker ended:\n${worker.log().slice(-2_000)}`),
    relay.ended.then(() => 'the relay ended'),
    running.then(() => 'the load ended'),
  ]).then((what) => Promise.reject(new Error(what)));
  try {
    return await Promise.race([sampleRegularly(), ended]);
  } finally {
    ended.catch(() => {});
    over.abort();
    await running;
  }
}

async function sampleRegularly(): Promise<SoakSample[]> {
  const samples: SoakSample[] = [];
  const pids = { worker: worker.pid, relay: relay.pid };
  const begun = performance.now();
  const elapsed = () => (performance.now() - begun) / 60_000;
  while (elapsed() < minutes) {
    await sleep(SAMPLE_MS, undefined, { signal: stopped.signal }).catch(() =>
      stopped.signal.throwIfAborted(),
    );
    const figures = await measure({ pool, pids, heaps: system.heaps });
    samples.push({ minutes: Math.round(elapsed() * 100) / 100, ...figures });
    writeFileSync(values.csv, describeCsv(samples));
    if (samples.length % SAMPLES_PER_LINE === 0) say(describeMinute(samples.at(-1)!));
  }
  return samples;
}

async function pruneRegularly(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pause(pruneMs, signal);
    await prune(pool, {
      completedOlderThanMs: keepMs,
      outboxOlderThanMs: keepMs,
      deadLettersOlderThanMs: keepMs,
      signal,
    });
  }
}

/** Checks the invariants while the worker and the relay still run, and stops both. */
async function settleAndCheck(): Promise<Finding[]> {
  await watchRecovery(pool, journal);
  const replayable = await checkReplayable({ pool, client, taskQueue: DEFAULT_TASK_QUEUE, waitMs: 60_000 });
  // If an entry does not end, the check finds it.
  await watchRecovery(pool, journal);
  await allPublished(pool);
  const published = await relay.stop();
  const findings = [replayable, ...(await checkAfterSoak(pool, journal, published))];
  worker.kill('SIGTERM');
  await worker.ended;
  return findings;
}

/** Every figure of any sample has a column, because some sessions only appear later. */
function describeCsv(samples: readonly SoakSample[]): string {
  const columns = Object.keys(Object.assign({}, ...samples) as SoakSample);
  const lines = samples.map((sample) => columns.map((column) => sample[column] ?? 0).join(','));
  return `${[columns.join(','), ...lines].join('\n')}\n`;
}

function describeMinute(sample: SoakSample): string {
  const sum = (figures: RegExp) =>
    Object.entries(sample).reduce((total, [name, value]) => total + (figures.test(name) ? value : 0), 0);
  const process = (name: string) =>
    `${name} ${sample[`${name}_megabytes`]} MB (heap ${sample[`${name}_heap_megabytes`]}), ${sample[`${name}_files`]} files`;
  return (
    `${sample.minutes} min: ${load.counts.commands} commands; ${process('worker')}; ${process('relay')}; ` +
    `${sum(/^sessions_/)} sessions, idle in transaction ${sample['idle_seconds']} s; ` +
    `rows ${sum(/_live$/)}, dead ${sum(/_dead$/)}, ${Math.round(sum(/_kilobytes$/) / 1_024)} MB`
  );
}

/** Prints the warnings and errors of the worker. If all is well, they are about commands that fail on purpose. */
function printWarnings(): void {
  const counts = new Map<string, number>();
  for (const [, line] of worker.log().matchAll(/^\S+ ((?:WARN|ERROR) .*?)(?: \w+=.*)?$/gm)) {
    counts.set(line!, (counts.get(line!) ?? 0) + 1);
  }
  say(`\nin the worker's log:`);
  for (const [line, count] of counts) say(`${String(count).padStart(8)}  ${line}`);
}

function readNumber(name: 'minutes' | 'rate' | 'seed', minimum: number): number {
  const value = Number(values[name]);
  if (value >= minimum && Number.isFinite(value)) return value;
  throw new RangeError(`--${name} is ${values[name]}, but must be a number of at least ${minimum}`);
}
