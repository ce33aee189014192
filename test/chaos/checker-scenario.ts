/**
 * The scenario in which the checker's test must find each seeded bug. It sends a small load over both ways in, and produces
 * each situation that the inbox protects against once: duplicates, retries, a swallowed error, a lost COMMIT, a lost answer,
 * an attempt that is overtaken before and after it locked its row, dead letters that are replayed and discarded, and a
 * listener that loses its connection.
 *
 * @module
 */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { AttemptSlots } from '../../activities/attempt-slots.ts';
import { createAttempt } from '../../activities/attempt.ts';
import { NO_ATTRIBUTES } from '../../src/temporal/search-attributes.ts';
import type { HandlerContext } from '../../src/commands/define-command.ts';
import { setCrashHook } from '../../src/platform/crash-points.ts';
import type { CrashPoint } from '../../src/platform/crash-points.ts';
import { createPool, withTransaction } from '../../src/platform/postgres.ts';
import { createInbox } from '../../src/sending/inbox.ts';
import type { Inbox } from '../../src/sending/inbox-types.ts';
import type { JsonObject } from '../../src/core/json.ts';
import { createLog } from '../../src/platform/log.ts';
import type { AttemptInput } from '../../src/core/activity-messages.ts';
import type { Envelope } from '../../src/core/protocol.ts';
import { createRegistry } from '../../src/commands/registry.ts';
import { TypeSlots } from '../../src/dispatch/type-slots.ts';
import { createTestInbox, rows } from '../support/inbox.ts';
import type { TestInbox } from '../support/inbox.ts';
import { patchDatabase } from '../support/patched-client.ts';
import { eventually, gate } from '../support/wait.ts';
import { createChaosSchema, recordAlert, transfer } from './bank.ts';
import type { Transfer } from './bank.ts';
import { check, checkReplayable, isAllAlerted } from './checker.ts';
import type { Finding } from './checker.ts';
import { Journal } from './journal.ts';
import { chain } from './seed.ts';
import type { SeededBug } from './seed.ts';

interface Message {
  way: 'send' | 'start';
  transfer?: Partial<Transfer>;
  ends?: 'DeadLetter';
}

const MESSAGES = {
  sent: { way: 'send' },
  started: { way: 'start' },
  again: { way: 'start' },
  'many-events': { way: 'send', transfer: { events: 4 } },
  'no-events': { way: 'send', transfer: { events: 0 } },
  retried: { way: 'send', transfer: { failures: 2 } },
  'retried-start': { way: 'start', transfer: { failures: 1 } },
  swallows: { way: 'start' },
  cut: { way: 'send' },
  'answer-lost': { way: 'send' },
  'overtaken-unlocked': { way: 'start' },
  'overtaken-locked': { way: 'start' },
  'dies-open': { way: 'start', transfer: { dies: true }, ends: 'DeadLetter' },
  'dies-discarded': { way: 'send', transfer: { dies: true }, ends: 'DeadLetter' },
  'dies-replayed': { way: 'send', transfer: { dies: true } },
  'dies-corrected': { way: 'start', transfer: { dies: true } },
  'dies-answer-lost': { way: 'send', transfer: { dies: true } },
  'after-listen': { way: 'send' },
} as const satisfies Record<string, Message>;
export type MessageName = keyof typeof MESSAGES;
const NAMES = Object.keys(MESSAGES) as MessageName[];
const DYING = NAMES.filter((name) => name.startsWith('dies-'));

/** By message id, because scenarios of several bugs run concurrently. */
const hooks = new Map<string, (point: CrashPoint) => Promise<void>>();
const handlers = new Map<string, (context: HandlerContext<unknown>) => Promise<'ended' | void>>();
setCrashHook(async (point, messageId) => hooks.get(messageId)?.(point));

const command = {
  ...transfer,
  timeout: '50s' as const,
  async handle(context: Parameters<typeof transfer.handle>[0]) {
    const ended = await handlers.get(context.messageId)?.(context);
    return ended === 'ended' ? null : transfer.handle(context);
  },
};

/** How long checkReplayable waits for a replay that a bug prevents. */
const REPLAY_WAIT_MS = 20_000;

/**
 * Runs the scenario with these bugs, or with the unmodified inbox if there are none, and returns the findings at its end.
 */
export async function runScenario(
  bugs: readonly SeededBug[],
): Promise<{ findings: Finding[]; untouched: string[] }> {
  const fixture = await createTestInbox();
  const sending = createPool({ connectionString: fixture.database.url, max: 8, applicationName: 'sender' });
  const seeds = bugs.map((bug) => bug.seed());
  try {
    await createChaosSchema(fixture.pool);
    for (const { schema } of [...bugs, ...seeds]) if (schema) await fixture.pool.query(schema);
    const run = new Run(fixture, new Set(bugs.flatMap(({ stuck }) => stuck ?? [])));
    patchDatabase(fixture.database.url, {
      patch: chain(seeds),
      separatePool: fixture.pool,
      answered: (statement) => run.answered(statement),
    });
    const inbox = await createInbox({ pool: sending, log: createLog('error', () => {}) });
    const settings = { concurrency: 16, retryConcurrency: 8, alertWindowMs: 500 };
    await fixture.startWorker([command], settings, undefined, (alert) => recordAlert(fixture.pool, alert));
    // In transactions, as senders do. Otherwise a wake-up within this process would replace NOTIFY.
    const send = async (name: MessageName) => {
      const message = { messageId: fixture.id(name), type: 'Transfer', payload: payloadOf(name) };
      await withTransaction(sending, (tx) => inbox.send(message, { tx }));
    };
    await run.load(send, () => rollBack(sending, fixture, inbox));
    await run.resolveDeadLetters();
    await run.afterListen(send);
    await run.settle();
    for (const { corrupt } of seeds) if (corrupt) await fixture.pool.query(corrupt);
    const findings: Finding[] = [];
    const isUnmodified = bugs.length === 0;
    if (isUnmodified || bugs.some(({ breaks }) => breaks.includes('8'))) {
      const { pool, client, taskQueue } = fixture;
      const waitMs = isUnmodified ? 60_000 : REPLAY_WAIT_MS;
      findings.push(await checkReplayable({ pool, client, taskQueue, waitMs }));
      if (isUnmodified) await fixture.reaches(fixture.id('dies-open'), 'Completed');
    }
    await eventually('every alert is delivered', () => isAllAlerted(fixture.pool));
    findings.push(...(await check(fixture.pool, run.journal)));
    await inbox.close();
    return { findings, untouched: seeds.flatMap(({ untouched }) => [...untouched]) };
  } finally {
    await sending.end();
    await fixture.close();
  }
}

function payloadOf(name: MessageName): JsonObject {
  const index = NAMES.indexOf(name);
  const more = (MESSAGES[name] as Message).transfer;
  return { from: index % 20, to: (index + 7) % 20, cents: 100 + index, events: 2, ...more } as JsonObject;
}

/** Sends a message in a transaction that is rolled back. */
async function rollBack(
  sending: ReturnType<typeof createPool>,
  fixture: TestInbox,
  inbox: Inbox,
): Promise<void> {
  const message = { messageId: fixture.id('rolled-back'), type: 'Transfer', payload: payloadOf('sent') };
  const rollback = new Error('rolled back on purpose');
  const sent = withTransaction(sending, async (tx) => {
    await inbox.send(message, { tx });
    throw rollback;
  });
  await sent.catch((error: unknown) => {
    if (error !== rollback) throw error;
  });
}

class Run {
  readonly journal = new Journal();
  readonly #fixture: TestInbox;
  readonly #stuck: ReadonlySet<MessageName>;
  #listens = 0;

  constructor(fixture: TestInbox, stuck: ReadonlySet<MessageName>) {
    this.#fixture = fixture;
    this.#stuck = stuck;
  }

  /** Observes statements, because no table shows that the listener has reconnected. */
  answered({ application, text }: { application: string; text: string }): void {
    if (application === 'inbox listener' && text.startsWith('listen')) this.#listens += 1;
  }

  async load(
    send: (name: MessageName) => Promise<void>,
    sendAndRollBack: () => Promise<void>,
  ): Promise<void> {
    this.#swallow('swallows');
    this.#cutCommit('cut');
    this.#loseAnswer('answer-lost', 'after-commit');
    this.#loseAnswer('dies-answer-lost', 'after-replay-recorded');
    const overtaken = [this.#overtake('overtaken-unlocked'), this.#overtake('overtaken-locked')];
    const now = NAMES.filter((name) => name !== 'after-listen' && !name.startsWith('overtaken-'));
    for (const name of NAMES) this.#addToJournal(name);
    this.journal.add({
      messageId: this.#id('rolled-back'),
      commandType: 'Transfer',
      payload: payloadOf('sent'),
      answer: 'refused',
    });
    await Promise.all([
      ...now.map((name) => (MESSAGES[name].way === 'send' ? send(name) : this.#start(name))),
      send('sent'),
      this.#start('started'),
      sendAndRollBack(),
    ]);
    await Promise.all([...overtaken, this.#startAgain('again')]);
  }

  #id(name: string): string {
    return this.#fixture.id(name);
  }

  #addToJournal(name: MessageName): void {
    this.journal.add({
      messageId: this.#id(name),
      commandType: 'Transfer',
      payload: payloadOf(name),
      answer: 'ok',
    });
  }

  async #start(name: MessageName): Promise<void> {
    await this.#fixture
      .start(this.#id(name), { commandType: 'Transfer', payload: payloadOf(name) })
      .catch((error: unknown) => {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      });
  }

  /** Starts a duplicate after its workflow has ended. Temporal accepts it; only the row shows that it is a duplicate. */
  async #startAgain(name: MessageName): Promise<void> {
    await this.#waitForEnd(name);
    await this.#start(name);
  }

  #swallow(name: MessageName): void {
    handlers.set(this.#id(name), async ({ tx, attempt }) => {
      if (attempt > 1) return undefined;
      await tx.query('select 1 / 0').catch(() => {});
      return 'ended';
    });
  }

  /** Ends the attempt's connection right before COMMIT. */
  #cutCommit(name: MessageName): void {
    const id = this.#id(name);
    let backend: number | undefined;
    handlers.set(id, async ({ tx, attempt }) => {
      if (attempt > 1) return;
      const { rows: found } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid');
      backend = found[0]!.pid;
    });
    hooks.set(id, async (point) => {
      if (point !== 'before-commit' || backend === undefined) return;
      const pid = backend;
      backend = undefined;
      await this.#fixture.pool.query('select pg_terminate_backend($1, 10000)', [pid]);
    });
  }

  #loseAnswer(name: MessageName, where: CrashPoint): void {
    let lost = false;
    hooks.set(this.#id(name), async (point) => {
      if (point !== where || lost) return;
      lost = true;
      throw new Error('the answer was lost');
    });
  }

  /**
   * Pauses an attempt of another worker before or after it locks the row, like a suspended process. It continues when the
   * next attempt has ended or waits for the lock. It runs without Temporal, which would cancel it at some point.
   */
  async #overtake(name: 'overtaken-unlocked' | 'overtaken-locked'): Promise<void> {
    const id = this.#id(name);
    const [paused, resume] = [gate(), gate()];
    let first = true;
    const pauseFirst = async () => {
      if (!first) return;
      first = false;
      paused.open();
      await resume.opened;
    };
    if (name === 'overtaken-locked') handlers.set(id, pauseFirst);
    else hooks.set(id, async (point) => (point === 'after-claim' ? pauseFirst() : undefined));
    let ended: Promise<void> = Promise.resolve();
    // On a busy machine an attempt may fail because it gets no connection. Then the next poll starts another one.
    await eventually(`an attempt of ${name} is paused in another worker`, () => {
      ended = this.#attemptElsewhere(id, { commandType: 'Transfer', payload: payloadOf(name) });
      return Promise.race([paused.opened.then(() => true), ended.then(() => false)]);
    });
    await this.#start(name);
    await eventually(`the next attempt of ${name} has ended or waits for the lock`, async () => {
      if ((await this.#fixture.entry(id))?.status === 'Completed') return true;
      if (name === 'overtaken-unlocked') return false;
      const waiting = `select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'
          and application_name in ('inbox looks', 'inbox claims', 'inbox records')`;
      return (await rows(this.#fixture.pool, waiting)).length > 0;
    });
    resume.open();
    await ended;
  }

  /** Ignores the result: nobody receives it, as from a process that Temporal no longer waits for. */
  async #attemptElsewhere(messageId: string, envelope: Envelope): Promise<void> {
    const pool = (applicationName: string) =>
      createPool({ connectionString: this.#fixture.database.url, max: 1, applicationName });
    const pools = {
      attempts: pool('inbox attempts'),
      claims: pool('inbox claims'),
      records: pool('inbox records'),
    };
    const attempt = createAttempt({
      ...pools,
      signaller: this.#fixture,
      registry: createRegistry([command]),
      slots: new AttemptSlots({ first: new TypeSlots(1, 1), other: new TypeSlots(1, 1), places: 1 }),
      maxPayloadBytes: 1_000_000,
      worker: 'elsewhere',
      buildId: null,
      searchAttributes: NO_ATTRIBUTES,
      inbox: 'test',
      shutdown: new AbortController().signal,
      log: createLog('error', () => {}),
      taskQueue: 'inbox',
      trace: { queries: false, queryText: false, errorMessages: false },
    });
    const info = { workflowExecution: { workflowId: messageId, runId: 'elsewhere' } };
    const environment = new MockActivityEnvironment(info, { logger: new DefaultLogger('ERROR', () => {}) });
    const input: AttemptInput = { lane: 'first', envelope };
    await environment.run(attempt, input).catch(() => {});
    await Promise.all(Object.values(pools).map((each) => each.end()));
  }

  async resolveDeadLetters(): Promise<void> {
    await Promise.all(DYING.map((name) => this.#fixture.reaches(this.#id(name), 'DeadLetter')));
    const { workflow } = this.#fixture.client;
    const signal = (name: MessageName, what: 'replay' | 'discard', payload?: JsonObject) =>
      workflow.signalWithStart('handleCommand', {
        workflowId: this.#id(name),
        taskQueue: this.#fixture.taskQueue,
        signal: what,
        signalArgs: [{ actor: 'test', ...(payload && { payload }) }],
      });
    await workflow.getHandle(this.#id('dies-open')).terminate('by mistake');
    await Promise.all([
      signal('dies-discarded', 'discard'),
      signal('dies-replayed', 'replay'),
      signal('dies-replayed', 'replay'),
      signal('dies-corrected', 'replay', { ...payloadOf('dies-corrected'), dies: false, cents: 7 }),
      signal('dies-answer-lost', 'replay'),
    ]);
  }

  /** Ends the listener's connection, and sends a message when the relay has tried to listen again. */
  async afterListen(send: (name: MessageName) => Promise<void>): Promise<void> {
    const before = this.#listens;
    await rows(
      this.#fixture.pool,
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'inbox listener'`,
    );
    await eventually('the relay listens again', () => this.#listens > before);
    await send('after-listen');
  }

  /** Waits until every workflow that can end has ended. Then nothing is in progress any more. */
  async settle(): Promise<void> {
    const ending = NAMES.filter((name) => !this.#stuck.has(name) && name !== 'dies-open');
    await Promise.all(ending.map((name) => this.#waitForEnd(name)));
  }

  async #waitForEnd(name: MessageName): Promise<void> {
    const handle = this.#fixture.client.workflow.getHandle(this.#id(name));
    await eventually(`the workflow of ${name} has ended`, async () => {
      const { status } = await handle.describe();
      return status.name === 'COMPLETED' || status.name === 'FAILED';
    });
  }
}
