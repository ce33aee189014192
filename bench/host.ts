/**
 * The process of one measured system: sends the jobs, works on them, and says when it began and ended. Started by
 * `measure.ts`; runs under any Node that the system needs.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Order, Outcome, Plan, Report, Trip } from './messages.ts';
import { ACCOUNTS } from './system.ts';
import type { Job, Running, System } from './system.ts';

/** Sent a second time once everything is over: nothing may change by it. */
const REPEATS = 50;
const SETTLING_MS = 300;
/** Without one that ends. */
const GIVE_UP_MS = 120_000;

const tell = (report: Report) => process.send?.(report);
const now = () => performance.timeOrigin + performance.now();

class Load {
  readonly #running: Running;
  readonly #prefix: string;
  readonly #open = new Map<string, () => void>();
  readonly jobs: Job[] = [];
  over = 0;

  constructor(running: Running, prefix: string) {
    this.#running = running;
    this.#prefix = prefix;
  }

  done(id: string): void {
    const resolve = this.#open.get(id);
    if (!resolve) return;
    this.#open.delete(id);
    this.over += 1;
    resolve();
  }

  make(): { job: Job; over: Promise<void> } {
    const place = this.jobs.length + 1;
    const job = {
      id: `${this.#prefix}-${place}`,
      account: 1 + ((place * 7919) % ACCOUNTS),
      amount: 1 + (place % 100),
    };
    this.jobs.push(job);
    return { job, over: new Promise((resolve) => this.#open.set(job.id, resolve)) };
  }

  /** Resolves when it is over. */
  async one(): Promise<Trip> {
    const { job, over } = this.make();
    const sentAt = now();
    await this.#running.send(job);
    const acceptedAt = now();
    await over;
    return { id: job.id, sentAt, acceptedAt };
  }

  async loop(inFlight: number, goesOn: () => boolean): Promise<void> {
    const lane = async () => {
      while (goesOn()) await this.one();
    };
    await Promise.all(Array.from({ length: inFlight }, lane));
  }
}

type Details = Partial<Outcome>;

async function steady(load: Load, running: Running, plan: Plan & { kind: 'steady' }): Promise<Details> {
  await running.work();
  let ended = false;
  const loop = load.loop(plan.inFlight, () => !ended);
  // A lane that breaks ends the measurement, not only itself.
  const broken = loop.then(() => new Promise<never>(() => {}));
  await Promise.race([sleep(plan.warmUpMs), broken]);
  tell({ kind: 'begin' });
  const before = load.over;
  const from = now();
  await Promise.race([sleep(plan.measureMs), broken]);
  const counted = load.over - before;
  const countedMs = now() - from;
  tell({ kind: 'end' });
  ended = true;
  await loop;
  return { counted, countedMs };
}

/** Whoever sends so many does not wait for them: {@link untilAllDone} does. */
async function sendAll(load: Load, running: Running, count: number): Promise<void> {
  const jobs = Array.from({ length: count }, () => load.make().job);
  if (running.sendAll) await running.sendAll(jobs);
  else await Promise.all(jobs.map((job) => running.send(job)));
}

async function backlog(load: Load, running: Running, plan: Plan & { kind: 'backlog' }): Promise<Details> {
  await sendAll(load, running, plan.jobs);
  tell({ kind: 'begin' });
  await running.work();
  return {};
}

async function burst(load: Load, running: Running, plan: Plan & { kind: 'burst' }): Promise<Details> {
  await running.work();
  await load.loop(16, () => load.jobs.length < plan.warmUp);
  tell({ kind: 'begin' });
  await sendAll(load, running, plan.jobs);
  return {};
}

async function latency(load: Load, running: Running, plan: Plan & { kind: 'latency' }): Promise<Details> {
  await running.work();
  const warmUp = Math.ceil(plan.jobs / 4);
  const trips: Trip[] = [];
  for (let place = 0; place < warmUp + plan.jobs; place += 1) {
    if (place === warmUp) tell({ kind: 'begin' });
    const trip = await load.one();
    if (place >= warmUp) trips.push(trip);
    // What comes after the answer, such as a COMMIT or the end of its workflow, is not to meet the next one.
    await sleep(plan.gapMs);
  }
  tell({ kind: 'end' });
  const overAt = await running.overAt?.(trips.map(({ id }) => id));
  return { trips, ...(overAt && { overAt }) };
}

async function follow(load: Load, running: Running, plan: Plan): Promise<Details> {
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

/** By the system's own word: the callbacks come before the end of what they tell of. */
async function untilAllDone(running: Running, jobs: number): Promise<number> {
  let giveUp = now() + GIVE_UP_MS;
  for (let before = -1; ;) {
    const done = await running.countDone();
    if (done >= jobs || now() > giveUp) return done;
    if (done !== before) giveUp = now() + GIVE_UP_MS;
    before = done;
    await sleep(jobs - done > 2_000 ? 500 : 50);
  }
}

async function run(running: Running, load: Load, plan: Plan): Promise<Outcome> {
  const details = await follow(load, running, plan);
  const { jobs } = load;
  if (plan.kind === 'help') return { jobs: 0, total: 0, countDone: 0 };
  const countBefore = await untilAllDone(running, jobs.length);
  if (plan.kind === 'backlog' || plan.kind === 'burst') tell({ kind: 'end' });
  for (const job of jobs.slice(0, REPEATS)) await running.send(job);
  await sleep(SETTLING_MS);
  const countDone = Math.max(countBefore, await running.countDone());
  const total = jobs.reduce((sum, { amount }) => sum + amount, 0);
  return { jobs: jobs.length, total, countDone, ...details };
}

let running: Running | undefined;
let load: Load | undefined;

async function obey(order: Order): Promise<void> {
  if (order.kind === 'open') {
    const { system } = (await import(order.module)) as { system: System };
    const surroundings = { ...order.surroundings, done: (id: string) => load?.done(id) };
    running = await system.open(surroundings);
    load = new Load(running, order.surroundings.taskQueue);
    tell({ kind: 'opened', servers: running.servers ?? [] });
  } else if (order.kind === 'run') {
    const outcome = await run(running!, load!, order.plan);
    // Its memory is read now: what nothing holds any more is not to count.
    globalThis.gc?.();
    await sleep(SETTLING_MS);
    tell({ kind: 'over', outcome });
  } else {
    await running?.stop();
    tell({ kind: 'stopped' });
    process.disconnect();
    // Whatever it has left open is not to keep it; a profile is written at the exit.
    setTimeout(() => process.exit(), 500).unref();
  }
}

const fail = (error: unknown) => {
  tell({ kind: 'failed', error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
};
process.on('message', (order: Order) => void obey(order).catch(fail));
process.on('unhandledRejection', fail);
