import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CRASH_POINTS } from '../../src/platform/crash-points.ts';
import type { CrashPoint } from '../../src/platform/crash-points.ts';
import { createInbox } from '../../src/sending/inbox.ts';
import type { Inbox } from '../../src/sending/inbox.ts';
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

/** Longer than the longest limit that an attempt can hang for before Temporal gives it up. */
const LIMIT_MS = 230_000;

/** beside: sent by another command, in a transaction of its own, in the process of its worker. */
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

/** Those of alerts have a test of their own: alerts-killed.test.ts. */
const ON_THE_WAY = CRASH_POINTS.filter((point) => !point.startsWith('alert'));

interface Case {
  messageId: string;
  point: CrashPoint;
  kind: CrashKind;
  way: Way;
  payload: JsonObject;
}

describe('a worker that dies, fails or hangs at any crash point, over every way in', () => {
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

  const cases: Case[] = ON_THE_WAY.flatMap((point, index) =>
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
    for (const each of replayed) await begin(each);
    // Those that hang first: they take the longest. A kill takes what else its worker does with it, so each has its turn.
    for (const kind of ['hang', 'error', 'kill'] as const)
      await crash(
        others.filter((each) => each.kind === kind),
        begin,
      );
    await eventually(
      'all that are to be replayed are dead',
      async () => (await openDeadLetters()) === replayed.length,
    );
    for (const kind of ['hang', 'error', 'kill'] as const) {
      await crash(
        replayed.filter((each) => each.kind === kind),
        signalReplay,
      );
    }
    await eventually('every command ends', everythingEnded, LIMIT_MS);

    await eventually('every dead letter is told of', () => isAllAlerted(fixture.pool));
    await eventually('every command has its record', () => isAllRecorded(fixture.pool));
    const findings = await check(fixture.pool, journal);
    assert.deepEqual(violated(findings), [], describeFindings(findings));
    assert.ok(
      fleet.deaths >= cases.filter(({ kind }) => kind === 'kill').length,
      `${fleet.deaths} workers died`,
    );
  });

  /** Sets them off, and waits until each has reached its point; all at once, but kills one after the other. */
  async function crash(some: readonly Case[], setOff: (each: Case) => Promise<void>): Promise<void> {
    const groups = some[0]?.kind === 'kill' ? some.map((each) => [each]) : [some];
    for (const group of groups) {
      const deaths = fleet.deaths;
      await Promise.all(group.map(setOff));
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
        throw new Error(`not reached: the crash points of ${missing.join(', ')}`, { cause: error });
      });
      // An express command that a dying worker takes up would go on with a workflow, and pass no hand-over.
      if (group[0]?.kind === 'kill') await eventually('its worker is gone', () => fleet.deaths > deaths);
    }
  }

  async function notReached(ids: readonly string[]): Promise<string[]> {
    const sql = `select id from unnest($1::text[]) as id
                 where not exists (select from chaos.crashes where message_id = id)`;
    return (await rows<{ id: string }>(fixture.pool, sql, [ids])).map(({ id }) => id);
  }

  const idOf = ({ messageId, point, kind }: Case) => crashingId(fixture.id(messageId), point, kind);

  async function begin(each: Case): Promise<void> {
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

  async function everythingEnded(): Promise<boolean> {
    const sql = `select from inbox.entries e where status not in ('Completed', 'DeadLetter')
                 or (status = 'DeadLetter' and message_id like '%replay%')`;
    const entries = await rows(fixture.pool, 'select from inbox.entries');
    return entries.length === journal.lines.length && (await rows(fixture.pool, sql)).length === 0;
  }
});

/** What is started with a client never passes the relay; an express command passes it without a start. */
function passes(way: Way, point: CrashPoint): boolean {
  // Beyond these it goes on like any other.
  if (way === 'beside') return point.startsWith('relay');
  if (way === 'beside express') return ['after-claim', 'after-commit'].includes(point);
  // Up to its COMMIT it is an express command.
  if (way === 'recorded')
    return ['before-commit', 'after-commit', 'before-record', 'after-record'].includes(point);
  if (point.endsWith('-record')) return false;
  if (point.startsWith('relay')) return way === 'send';
  if (point.endsWith('hand-over')) return way === 'express';
  return way !== 'express' || point !== 'before-claim';
}

/**
 * A kill costs a new worker, which takes seconds. From its claim on, a command that a client started goes the way of one
 * that was sent, and so do the later attempts and the replay of an express command: the kills of sent commands cover them.
 */
function isKilledHere(way: Way, point: CrashPoint): boolean {
  if (way === 'start') return point === 'before-claim';
  return way !== 'express' || !(point.includes('replay') || point.includes('failure'));
}

/** Points on the way of a failure need a command that fails, those of a replay one that dies. */
function payloadFor(point: CrashPoint, index: number): JsonObject {
  // Accounts of its own for each point: a command that hangs keeps its rows locked, and would hold up those of other points.
  const transfer: JsonObject = {
    from: index,
    to: index + ON_THE_WAY.length,
    cents: 100 + index,
    events: index % 4,
  };
  // More than one: an attempt may be lost to the kill of another command.
  if (point.includes('failure') || point.endsWith('hand-over')) return { ...transfer, failures: 4 };
  if (point.includes('replay')) return { ...transfer, dies: true };
  return transfer;
}

function partition<T>(items: readonly T[], isFirst: (item: T) => boolean): [T[], T[]] {
  return [items.filter(isFirst), items.filter((item) => !isFirst(item))];
}
