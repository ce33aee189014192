/**
 * The process of one measured system: it sends the jobs, works on them, and reports when the measurement begins and ends.
 * `measure.ts` starts it with the Node version that the system needs.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobTiming, Order, Outcome, Plan, Report } from './messages.ts';
import { ACCOUNTS } from './system.ts';
import type { Job, RunningSystem, System } from './system.ts';

/** How many jobs are sent again at the end. They must have no effect. */
const REPEATS = 50;
const SETTLING_MS = 300;
/** How long to wait without any progress before giving up. */
const NO_PROGRESS_MS = 120_000;

const sendReport = (report: Report) => process.send?.(report);
const now = () => performance.timeOrigin + performance.now();

class Load {
  readonly #running: RunningSystem;
  readonly #prefix: string;
  readonly #open = new Map<string, () => void>();
  readonly jobs: Job[] = [];
  finishedCount = 0;

  constructor(running: RunningSystem, prefix: string) {
    this.#running = running;
    this.#prefix = prefix;
  }

  done(id: string): void {
    const resolve = this.#open.get(id);
    if (!resolve) return;
    this.#open.delete(id);
    this.finishedCount += 1;
    resolve();
  }

  make(): { job: Job; finished: Promise<void> } {
    const number = this.jobs.length + 1;
    const job = {
      id: `${this.#prefix}-${number}`,
      account: 1 + ((number * 7919) % ACCOUNTS),
      amount: 1 + (number % 100),
    };
    this.jobs.push(job);
    return { job, finished: new Promise((resolve) => this.#open.set(job.id, resolve)) };
  }

  /** Sends one job and resolves when it has finished. */
  async runOne(): Promise<JobTiming> {
    const { job, finished } = this.make();
    const sentAt = now();
    await this.#running.send(job);
    const acceptedAt = now();
    await finished;
    return { id: job.id, sentAt, acceptedAt };
  }

  /** Keeps this number of jobs in flight as long as the condition holds. */
  async loop(inFlight: number, shouldContinue: () => boolean): Promise<void> {
    const runJobs = async () => {
      while (shouldContinue()) await this.runOne();
    };
    await Promise.all(Array.from({ length: inFlight }, runJobs));
  }
}

type Details = Partial<Outcome>;

async function steady(load: Load, running: RunningSystem, plan: Plan & { kind: 'steady' }): Promise<Details> {
  await running.work();
  let ended = false;
  const loop = load.loop(plan.inFlight, () => !ended);
  // If a job fails, the whole measurement must fail. This promise never resolves; it only rejects when the loop does.
  const failure = loop.then(() => new Promise<never>(() => {}));
  await Promise.race([sleep(plan.warmUpMs), failure]);
  sendReport({ kind: 'begin' });
  const before = load.finishedCount;
  const from = now();
  await Promise.race([sleep(plan.measureMs), failure]);
  const counted = load.finishedCount - before;
  const countedMs = now() - from;
  sendReport({ kind: 'end' });
  ended = true;
  await loop;
  return { counted, countedMs };
}

/** Sends this many jobs without waiting until they have finished; {@link waitUntilDone} waits for them. */
async function sendAll(load: Load, running: RunningSystem, count: number): Promise<void> {
  const jobs = Array.from({ length: count }, () => load.make().job);
  if (running.sendAll) await running.sendAll(jobs);
  else await Promise.all(jobs.map((job) => running.send(job)));
}

async function backlog(
  load: Load,
  running: RunningSystem,
  plan: Plan & { kind: 'backlog' },
): Promise<Details> {
  await sendAll(load, running, plan.jobs);
  sendReport({ kind: 'begin' });
  await running.work();
  return {};
}

async function burst(load: Load, running: RunningSystem, plan: Plan & { kind: 'burst' }): Promise<Details> {
  await running.work();
  await load.loop(16, () => load.jobs.length < plan.warmUp);
  sendReport({ kind: 'begin' });
  await sendAll(load, running, plan.jobs);
  return {};
}

async function latency(
  load: Load,
  running: RunningSystem,
  plan: Plan & { kind: 'latency' },
): Promise<Details> {
  await running.work();
  const warmUp = Math.ceil(plan.jobs / 4);
  const timings: JobTiming[] = [];
  for (let index = 0; index < warmUp + plan.jobs; index += 1) {
    if (index === warmUp) sendReport({ kind: 'begin' });
    const timing = await load.runOne();
    if (index >= warmUp) timings.push(timing);
    // Work after the answer, such as a COMMIT or the end of the workflow, must not overlap with the next job.
    await sleep(plan.gapMs);
  }
  sendReport({ kind: 'end' });
  const finishedAt = await running.finishedAt?.(timings.map(({ id }) => id));
  return { timings, ...(finishedAt && { finishedAt }) };
}

async function runPlan(load: Load, running: RunningSystem, plan: Plan): Promise<Details> {
  switch (plan.kind) {
    case 'steady':
      return steady(load, running, plan);
    case 'backlog':
      return backlog(load, running, plan);
    case 'burst':
      return burst(load, running, plan);
    case 'latency':
      return latency(load, running, plan);
    case 'help':
      await running.work();
      return {};
  }
}

/** Waits for the system's own count, because the `done` callbacks run before the system has finished its jobs. */
async function waitUntilDone(running: RunningSystem, jobs: number): Promise<number> {
  let deadline = now() + NO_PROGRESS_MS;
  for (let before = -1; ;) {
    const done = await running.countDone();
    if (done >= jobs || now() > deadline) return done;
    if (done !== before) deadline = now() + NO_PROGRESS_MS;
    before = done;
    await sleep(jobs - done > 2_000 ? 500 : 50);
  }
}

async function run(running: RunningSystem, load: Load, plan: Plan): Promise<Outcome> {
  const details = await runPlan(load, running, plan);
  const { jobs } = load;
  if (plan.kind === 'help') return { jobs: 0, total: 0, countDone: 0 };
  const countBefore = await waitUntilDone(running, jobs.length);
  if (plan.kind === 'backlog' || plan.kind === 'burst') sendReport({ kind: 'end' });
  for (const job of jobs.slice(0, REPEATS)) await running.send(job);
  await sleep(SETTLING_MS);
  const countDone = Math.max(countBefore, await running.countDone());
  const total = jobs.reduce((sum, { amount }) => sum + amount, 0);
  return { jobs: jobs.length, total, countDone, ...details };
}

let running: RunningSystem | undefined;
let load: Load | undefined;

async function execute(order: Order): Promise<void> {
  if (order.kind === 'open') {
    const { system } = (await import(order.module)) as { system: System };
    const context = { ...order.context, done: (id: string) => load?.done(id) };
    running = await system.open(context);
    load = new Load(running, order.context.taskQueue);
    sendReport({ kind: 'opened', servers: running.servers ?? [] });
  } else if (order.kind === 'run') {
    const outcome = await run(running!, load!, order.plan);
    // measure.ts reads the memory of this process now, and it must not include garbage.
    globalThis.gc?.();
    await sleep(SETTLING_MS);
    sendReport({ kind: 'over', outcome });
  } else {
    await running?.stop();
    sendReport({ kind: 'stopped' });
    process.disconnect();
    // Open handles of the system must not keep the process alive. A CPU profile is written at exit.
    setTimeout(() => process.exit(), 500).unref();
  }
}

const fail = (error: unknown) => {
  sendReport({
    kind: 'failed',
    error: error instanceof Error ? (error.stack ?? error.message) : String(error),
  });
};
process.on('message', (order: Order) => void execute(order).catch(fail));
process.on('unhandledRejection', fail);
