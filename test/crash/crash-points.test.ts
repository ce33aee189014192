import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CRASH_POINTS } from '../../src/platform/crash-points.ts';
import type { CrashPoint } from '../../src/platform/crash-points.ts';
import { createInbox } from '../../src/sending/inbox.ts';
import type { Inbox } from '../../src/sending/inbox-types.ts';
import type { JsonObject } from '../../src/core/json.ts';
import { createChaosSchema } from '../chaos/bank.ts';
import { check, describeFindings, isAllAlerted, isAllRecorded, violated } from '../chaos/checker.ts';
import { Journal } from '../chaos/journal.ts';
import { CRASH_KINDS, crashingId } from '../support/chaos-commands.ts';
import type { CrashKind } from '../support/chaos-commands.ts';
import { createTestInbox, rows } from '../support/inbox.ts';
import type { TestInbox } from '../support/inbox.ts';
import { eventually } from '../support/wait.ts';
import { startFleet } from '../support/worker-fleet.ts';
import type { WorkerFleet } from '../support/worker-fleet.ts';

/** Longer than an attempt can hang before Temporal times it out. */
const LIMIT_MS = 230_000;

/** beside: sent by another command in the worker's process, in a transaction of its own. */
const WAYS = ['send', 'start', 'express', 'recorded', 'beside', 'beside express'] as const;
type Way = (typeof WAYS)[number];

const TYPES: Record<Way, string> = {
  send: 'Transfer',
  start: 'Transfer',
  express: 'ExpressTransfer',
  recorded: 'RecordedTransfer',
  beside: 'Transfer',
  'beside express': 'ExpressTransfer',
};

/** The crash points of alerts are tested in alerts-killed.test.ts. */
const POINTS = CRASH_POINTS.filter((point) => !point.startsWith('alert'));

interface Case {
  messageId: string;
  point: CrashPoint;
  kind: CrashKind;
  way: Way;
  payload: JsonObject;
}

describe('a worker that dies, fails or hangs at any crash point, for every way in', () => {
  let fixture: TestInbox;
  let inbox: Inbox;
  let fleet: WorkerFleet;
  const journal = new Journal();

  before(async () => {
    fixture = await createTestInbox();
    await createChaosSchema(fixture.pool);
    await fixture.pool.query('create table chaos.crashes (message_id text primary key)');
    inbox = await createInbox({ pool: fixture.pool });
    fleet = await startFleet(fixture, './chaos-commands.js', 2, { INBOX_ALERT_WINDOW: '1s' });
  });
  after(async () => {
    await fleet.stop();
    await inbox.close();
    await fixture.close();
  });

  const cases: Case[] = POINTS.flatMap((point, index) =>
    CRASH_KINDS.flatMap((kind) =>
      WAYS.flatMap((way): Case[] => {
        if (!passes(way, point) || (kind === 'kill' && !isKilledHere(way, point))) return [];
        return [
          {
            messageId: `${way.replace(' ', '-')}-${index}`,
            point,
            kind,
            way,
            payload: payloadFor(point, index),
          },
        ];
      }),
    ),
  );

  it('neither loses nor repeats a command', { timeout: 2 * LIMIT_MS }, async () => {
    const [replayed, others] = partition(cases, ({ point }) => point.includes('replay'));
    for (const each of replayed) await start(each);
    // Hangs come first, because they take the longest. A kill also ends the worker's other work, so kills run one by one.
    for (const kind of ['hang', 'error', 'kill'] as const)
      await crash(
        others.filter((each) => each.kind === kind),
        start,
      );
    await eventually(
      'all commands that will be replayed are dead letters',
      async () => (await openDeadLetters()) === replayed.length,
    );
    for (const kind of ['hang', 'error', 'kill'] as const) {
      await crash(
        replayed.filter((each) => each.kind === kind),
        signalReplay,
      );
    }
    await eventually('every command is settled', allSettled, LIMIT_MS);

    await eventually('every dead letter was alerted', () => isAllAlerted(fixture.pool));
    await eventually('every command is recorded', () => isAllRecorded(fixture.pool));
    const findings = await check(fixture.pool, journal);
    assert.deepEqual(violated(findings), [], describeFindings(findings));
    assert.ok(
      fleet.deaths >= cases.filter(({ kind }) => kind === 'kill').length,
      `${fleet.deaths} workers died`,
    );
  });

  /**
   * Triggers the cases and waits until each has reached its crash point. All run at once, except that kills run one by one.
   */
  async function crash(some: readonly Case[], trigger: (each: Case) => Promise<void>): Promise<void> {
    const groups = some[0]?.kind === 'kill' ? some.map((each) => [each]) : [some];
    for (const group of groups) {
      const deaths = fleet.deaths;
      await Promise.all(group.map(trigger));
      const ids = group.map((each) => idOf(each));
      let missing = ids;
      await eventually(
        'the crash points are reached',
        async () => {
          missing = await notReached(ids);
          return missing.length === 0;
        },
        LIMIT_MS,
      ).catch((error: unknown) => {
        throw new Error(`crash points not reached by: ${missing.join(', ')}`, { cause: error });
      });
      // If the dying worker took the next express command, a workflow would continue that command, without a hand-over.
      if (group[0]?.kind === 'kill') await eventually('the worker has died', () => fleet.deaths > deaths);
    }
  }

  async function notReached(ids: readonly string[]): Promise<string[]> {
    const sql = `select id from unnest($1::text[]) as id
                 where not exists (select from chaos.crashes where message_id = id)`;
    return (await rows<{ id: string }>(fixture.pool, sql, [ids])).map(({ id }) => id);
  }

  const idOf = ({ messageId, point, kind }: Case) => crashingId(fixture.id(messageId), point, kind);

  async function start(each: Case): Promise<void> {
    const { way, payload } = each;
    const id = idOf(each);
    const type = TYPES[way];
    journal.add({ messageId: id, commandType: type, payload, answer: 'ok' });
    if (way.startsWith('beside')) {
      const sender = { messageId: `sender-of-${id.replaceAll('@', '-')}`, type: 'Transfer' };
      const sending = { from: 0, to: 1, cents: 1, beside: { messageId: id, type, payload } };
      journal.add({ messageId: sender.messageId, commandType: sender.type, payload: sending, answer: 'ok' });
      await inbox.send({ ...sender, payload: sending });
    } else if (way === 'start') await fixture.start(id, { commandType: type, payload });
    else await inbox.send({ messageId: id, type, payload });
  }

  async function signalReplay(each: Case): Promise<void> {
    await fixture.client.workflow.signalWithStart('handleCommand', {
      workflowId: idOf(each),
      taskQueue: fixture.taskQueue,
      signal: 'replay',
      signalArgs: [{ actor: 'test' }],
    });
  }

  async function openDeadLetters(): Promise<number> {
    return (await rows(fixture.pool, 'select from inbox.dead_letters where resolution is null')).length;
  }

  async function allSettled(): Promise<boolean> {
    const sql = `select from inbox.entries e where status not in ('Completed', 'DeadLetter')
                 or (status = 'DeadLetter' and message_id like '%replay%')`;
    const entries = await rows(fixture.pool, 'select from inbox.entries');
    return entries.length === journal.lines.length && (await rows(fixture.pool, sql)).length === 0;
  }
});

/** A command that a client starts never passes the relay; an express command passes the relay without a workflow start. */
function passes(way: Way, point: CrashPoint): boolean {
  // After these points, the command is handled like any other.
  if (way === 'beside') return point.startsWith('relay');
  if (way === 'beside express') return ['after-claim', 'after-commit'].includes(point);
  // Until its COMMIT, a recorded command is handled like any express command.
  if (way === 'recorded')
    return ['before-commit', 'after-commit', 'before-record', 'after-record'].includes(point);
  if (point.endsWith('-record')) return false;
  if (point.startsWith('relay')) return way === 'send';
  if (point.endsWith('hand-over')) return way === 'express';
  return way !== 'express' || point !== 'before-claim';
}

/**
 * A kill requires a new worker, which takes seconds. After the claim, a command that a client started is handled like one
 * that was sent, and so are the later attempts and the replay of an express command: the kills of sent commands cover these.
 */
function isKilledHere(way: Way, point: CrashPoint): boolean {
  if (way === 'start') return point === 'before-claim';
  return way !== 'express' || !(point.includes('replay') || point.includes('failure'));
}

/** The crash points of failures need a command that fails; those of replays need one that becomes a dead letter. */
function payloadFor(point: CrashPoint, index: number): JsonObject {
  // Each point has its own accounts, because a command that hangs keeps its rows locked and would block the others.
  const transfer: JsonObject = {
    from: index,
    to: index + POINTS.length,
    cents: 100 + index,
    events: index % 4,
  };
  // Several failures, because an attempt may be lost when another command's kill ends its worker.
  if (point.includes('failure') || point.endsWith('hand-over')) return { ...transfer, failures: 4 };
  if (point.includes('replay')) return { ...transfer, dies: true };
  return transfer;
}

function partition<T>(items: readonly T[], isFirst: (item: T) => boolean): [T[], T[]] {
  return [items.filter(isFirst), items.filter((item) => !isFirst(item))];
}
