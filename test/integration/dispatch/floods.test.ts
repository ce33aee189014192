/** In every mode, a flood of one command type whose handler hangs does not keep another type from completing. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it, mock } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import type { CommandDefinition } from '../../../src/commands/define-command.ts';
import { LiveTypedWorkflows } from '../../../src/temporal/live-typed-workflows.ts';
import { WorkerPresence } from '../../../src/dispatch/worker-presence.ts';
import type { WorkerPresenceOptions } from '../../../src/dispatch/worker-presence.ts';
import { checkCommandTypes } from '../../../src/health/command-types.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createCli } from '../../support/cli.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const SLOTS = 8;
const FLOOD = 24;
const SETTINGS = { concurrency: SLOTS, expressConcurrency: SLOTS, retryConcurrency: SLOTS };

const IDLE_WORKER = {
  identity: 'idle',
  namespace: 'default',
  taskQueue: 'idle',
  buildId: null,
  commandTypes: ['Known'],
};

/** A presence that was created over a minute ago, so that its first step checks for unknown types. */
function olderPresence(options: WorkerPresenceOptions): WorkerPresence {
  const aMinuteAgo = performance.now() - 60_001;
  const clock = mock.method(performance, 'now', () => aMinuteAgo);
  try {
    return new WorkerPresence(options);
  } finally {
    clock.mock.restore();
  }
}

type Way = 'table' | 'beside' | 'temporal';
interface Mode {
  name: string;
  options?: Partial<CommandDefinition>;
  way: Way;
  /** How many attempts fail first. */
  fail?: number;
}

const MODES: Mode[] = [
  { name: 'express, sent from another process', options: { express: true }, way: 'table' },
  { name: 'express, sent in the worker’s process', options: { express: true }, way: 'beside' },
  { name: 'with a workflow, sent from another process', way: 'table' },
  { name: 'with a workflow, sent in the worker’s process', way: 'beside' },
  { name: 'started by a Temporal client', way: 'temporal' },
  { name: 'retried', way: 'temporal', fail: 1 },
  { name: 'long-running', options: { longRunning: true }, way: 'temporal' },
];

describe('a flood of commands that hang', () => {
  let fixture: TestInbox;
  let inbox: Inbox;
  /** Functions that end the running attempts, by command type. */
  let running: Map<string, (() => void)[]>;
  let started: Map<string, number>;

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
  });
  beforeEach(() => {
    running = new Map();
    started = new Map();
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  const runningOf = (type: string) => running.get(type)?.length ?? 0;
  const finishOne = (type: string) => running.get(type)!.shift()!();

  /** Fails as often as its payload says, and then hangs, unless its payload says that it is quick. */
  function command(type: string, { options }: Pick<Mode, 'options'>): CommandDefinition {
    return defineCommand({
      type,
      schema: z.any(),
      timeout: '1 minute',
      retry: { initialInterval: '1ms', maximumAttempts: 100 },
      ...options,
      async handle({ payload, attempt }) {
        const { fail, quick } = payload as { fail: number; quick: boolean };
        if (attempt <= fail) throw new Error('not yet');
        started.set(type, (started.get(type) ?? 0) + 1);
        if (quick) return;
        await new Promise<void>((resolve) => running.set(type, [...(running.get(type) ?? []), resolve]));
      },
    });
  }

  async function send(ids: readonly string[], type: string, { way, fail = 0 }: Mode, quick: boolean) {
    const payload = { fail, quick };
    if (way === 'table') {
      const sql = 'select inbox.send(id, $2, $3) from unnest($1::text[]) as id';
      await fixture.pool.query(sql, [ids, type, payload]);
    } else if (way === 'beside') {
      await Promise.all(ids.map((messageId) => inbox.send({ messageId, type, payload })));
    } else {
      await Promise.all(ids.map((id) => fixture.start(id, { commandType: type, payload })));
    }
  }

  async function completed(type: string): Promise<number> {
    const sql = `select count(*)::int as count from inbox.entries where command_type = $1 and status = 'Completed'`;
    return (await rows<{ count: number }>(fixture.pool, sql, [type]))[0]!.count;
  }

  async function finishAll(type: string, count: number): Promise<void> {
    await eventually(`all of ${type} are completed`, async () => {
      while (runningOf(type) > 0) finishOne(type);
      return (await completed(type)) === count;
    });
  }

  const idsOf = (type: string, count: number) =>
    Array.from({ length: count }, (_, index) => fixture.id(`${type}-${index}`));

  for (const mode of MODES) {
    it(`does not block another type: ${mode.name}`, async () => {
      const [slow, victim] = [`Slow${MODES.indexOf(mode)}`, `Victim${MODES.indexOf(mode)}`];
      const worker = await fixture.startWorker([command(slow, mode), command(victim, mode)], SETTINGS);
      await send(idsOf(slow, FLOOD), slow, mode, false);
      await eventually('the flood holds its slots', () => runningOf(slow) >= SLOTS - 1);
      await send(idsOf(victim, 10), victim, mode, true);
      await eventually(
        'the commands of the other type are completed',
        async () => (await completed(victim)) === 10,
      );
      assert.equal(await completed(slow), 0);
      // Long-running commands don't use the slots of first attempts, and the relay starts no more commands than it has
      // slots.
      if (mode.options?.longRunning || mode.way === 'table') assert.equal(runningOf(slow), SLOTS - 1);
      await finishAll(slow, FLOOD);
      await worker.stop();
    });
  }

  for (const mode of MODES.filter(({ way }) => way === 'table')) {
    it(`leaves another flood its share: ${mode.name}`, async () => {
      const [one, other] = [`One${MODES.indexOf(mode)}`, `Other${MODES.indexOf(mode)}`];
      const worker = await fixture.startWorker([command(one, mode), command(other, mode)], SETTINGS);
      await send(idsOf(one, FLOOD), one, mode, false);
      await eventually('the first flood holds its slots', () => runningOf(one) >= SLOTS - 1);
      await send(idsOf(other, FLOOD), other, mode, false);
      await eventually('the second flood gets the last slot', () => runningOf(other) >= 1);
      await eventually('the second flood has its share', () => {
        if (runningOf(other) < 3 && started.get(one)! - runningOf(one) < 4) finishOne(one);
        return runningOf(other) >= 3;
      });
      // No further command of the first flood was started meanwhile.
      assert.equal(started.get(one), SLOTS - 1);
      await Promise.all([finishAll(one, FLOOD), finishAll(other, FLOOD)]);
      await worker.stop();
    });
  }

  it('of many unknown types causes no alert, and is shortened in logs, doctor and stats', async () => {
    const known = command('Known', {});
    const startedAt = performance.now();
    const worker = await fixture.startWorker([known], SETTINGS, undefined, () => {});
    const sql = `select inbox.send($1 || i, 'Invented' || i, '{}') from generate_series(1, 200) as i`;
    await fixture.pool.query(sql, [fixture.id('invented-')]);
    const invented = Array.from({ length: 200 }, (_, index) => `Invented${201 + index}`);
    await Promise.all(
      invented.map((type) => fixture.start(fixture.id(type), { commandType: type, payload: {} })),
    );
    await send([fixture.id('known')], 'Known', { name: '', way: 'temporal' }, true);
    await fixture.reaches(fixture.id('known'), 'Completed');
    await eventually('the commands that Temporal started are stored', async () => {
      const [{ count } = { count: 0 }] = await rows<{ count: number }>(
        fixture.pool,
        `select count(*)::int as count from inbox.entries where command_type like 'Invented%' and status = 'Pending'`,
      );
      return count === 400;
    });
    // One warning a minute for all attempts that Temporal started.
    const warnings = fixture
      .logs()
      .filter((line) => line.includes('commands are waiting for a worker that knows their type'));
    const minutes = Math.ceil((performance.now() - startedAt) / 60_000);
    assert.ok(warnings.length >= 1 && warnings.length <= minutes, `${warnings.length} warnings`);
    // A worker that has run for over a minute also reports twenty of the types whose commands have waited that long.
    await fixture.pool.query(
      `begin; set local session_replication_role = replica;
       update inbox.entries set received_at = received_at - interval '1 minute' where command_type like 'Invented%'; commit`,
    );
    const reports: string[] = [];
    const log = createLog('warn', (line) => void reports.push(line));
    const typedWorkflows = new LiveTypedWorkflows(false, log);
    const presence = olderPresence({ pool: fixture.pool, worker: IDLE_WORKER, typedWorkflows, log });
    const ended = presence.run();
    await eventually('it has reported twenty types', () => reports.length >= 20);
    presence.stop();
    await ended;
    assert.ok(reports.every((line) => line.includes('no running worker knows this command type')));
    const reported = new Set(reports.map((line) => /commandType=(Invented\d+)/.exec(line)?.[1]));
    assert.deepEqual([reports.length, reported.size], [20, 20]);
    const doctor = await checkCommandTypes(fixture.pool);
    assert.match(doctor.finding, /Invented\d+ \(1, .*and 395 more types$/);
    const { stdout } = await createCli(fixture).run(['stats']);
    assert.match(stdout, /… and 380 more types/);
    const alerts = await rows(fixture.pool, 'select from inbox.alerts');
    assert.equal(alerts.length, 0);
    await worker.stop();
  });
});
