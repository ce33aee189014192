import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import type { CrashPoint } from '../../src/platform/crash-points.ts';
import { CRASH_POINTS } from '../../src/platform/crash-points.ts';
import { choosePort } from '../../src/dev/process/ports.ts';
import { startTemporalServer } from '../../src/dev/temporal/server.ts';
import { alertWorkflowId, SEARCH_ATTRIBUTES } from '../../src/core/protocol.ts';
import { ALERTED_TABLE, CANARY, dies } from '../support/alert-commands.ts';
import { CRASH_KINDS, crashingId } from '../support/chaos-commands.ts';
import type { CrashKind } from '../support/chaos-commands.ts';
import { createTestInbox, rows } from '../support/inbox.ts';
import type { TestInbox } from '../support/inbox.ts';
import { answer, SECRET, startReceiver } from '../support/receiver.ts';
import type { Receiver } from '../support/receiver.ts';
import { seedOpen } from '../support/seed.ts';
import { eventually } from '../support/wait.ts';
import { startFleet } from '../support/worker-fleet.ts';
import type { WorkerFleet } from '../support/worker-fleet.ts';

const POINTS = CRASH_POINTS.filter((point) => point.startsWith('alert'));
/** What hangs in the loop would hang for ever; there only statements and starts wait, and both have limits. */
const KINDS = (point: CrashPoint) =>
  CRASH_KINDS.filter((kind) => kind !== 'hang' || point.endsWith('delivery'));

interface AlertRow {
  id: string;
  message_ids: string[];
  ended: boolean;
  given_up: string[];
}

const alertsIn = (inbox: TestInbox) =>
  rows<AlertRow>(inbox.pool, 'select *, ended_at is not null as ended from inbox.alerts order by created_at');

describe('a worker that dies, fails or hangs while it alerts', () => {
  let inbox: TestInbox;
  let receiver: Receiver;
  let fleet: WorkerFleet;
  let log: () => string;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.pool.query('create schema chaos');
    await inbox.pool.query('create table chaos.crashes (message_id text primary key)');
    await inbox.pool.query(ALERTED_TABLE);
    receiver = await startReceiver();
    const seen = new Map<number, () => string>();
    fleet = await startFleet(inbox, './alert-commands.js', 2, {
      INBOX_ALERT_URL: receiver.url,
      INBOX_ALERT_SECRET: SECRET,
      INBOX_LOG_LEVEL: 'debug',
    });
    log = () => {
      for (const worker of fleet.workers) seen.set(worker.pid, () => worker.log());
      return [...seen.values()].map((each) => each()).join('');
    };
  });
  after(async () => {
    await fleet.stop();
    await receiver.close();
    await inbox.close();
  });

  it('repeats the alert under its id, and forgets none', { timeout: 240_000 }, async () => {
    const cases = POINTS.flatMap((point) => KINDS(point).map((kind) => ({ point, kind })));
    assert.equal(cases.length, 10);
    // Those that hang first: they take the longest. A kill takes what else its worker does with it, so each has its turn.
    for (const kind of ['hang', 'error', 'kill'] as const) {
      const some = cases.filter((each) => each.kind === kind);
      for (const group of kind === 'kill' ? some.map((each) => [each]) : [some]) await crash(group);
    }
    await eventually(
      'every alert is told',
      async () => {
        const alerts = await alertsIn(inbox);
        return alerts.length === cases.length && alerts.every(({ ended }) => ended);
      },
      200_000,
    );
    assert.deepEqual(await rows(inbox.pool, 'select from inbox.dead_letters where alert_id is null'), []);
    for (const { id, message_ids: messageIds, given_up: givenUp } of await alertsIn(inbox)) {
      assert.deepEqual(givenUp, []);
      const [messageId] = messageIds;
      const posts = receiver.of(messageId!);
      const calls = await rows<{ alert_id: string }>(
        inbox.pool,
        'select alert_id from alerted where $1 = any (message_ids)',
        [messageId],
      );
      for (const told of [posts.map((post) => post.id), calls.map((call) => call.alert_id)]) {
        assert.deepEqual([...new Set(told)], [id], messageId);
      }
      // Whoever had been told, and whose worker died before it could be written down, is told again.
      const repeats = posts.length + calls.length - 2;
      if (messageId!.includes('alert-after-delivery')) assert.ok(repeats >= 1, `${messageId} ${repeats}`);
    }
    assert.ok(fleet.deaths >= POINTS.length, `${fleet.deaths} workers died`);
  });

  it('says nothing of payload and error in its log', () => {
    assert.match(log(), /alert delivered/);
    assert.doesNotMatch(log(), new RegExp(CANARY));
    assert.doesNotMatch(log(), new RegExp(SECRET.slice(6)));
    for (const { text, headers } of receiver.posts) {
      assert.doesNotMatch(text + JSON.stringify(headers), new RegExp(CANARY));
    }
  });

  async function crash(group: { point: CrashPoint; kind: CrashKind }[]): Promise<void> {
    const deaths = fleet.deaths;
    log();
    const ids = group.map(({ point, kind }) => crashingId(inbox.id('dies'), point, kind));
    for (const [index, { point, kind }] of group.entries()) {
      const payload = { cause: `${point} ${kind}`, secret: CANARY };
      await inbox.start(ids[index]!, { commandType: 'Dies', payload });
    }
    await eventually(`the crash points of ${ids.join(', ')} are reached`, async () => {
      const sql = 'select from chaos.crashes where message_id = any ($1)';
      return (await rows(inbox.pool, sql, [ids])).length === ids.length;
    });
    if (group[0]!.kind === 'kill') await eventually('its worker is gone', () => fleet.deaths > deaths);
  }
});

describe('a Temporal that is away', () => {
  let inbox: TestInbox;
  let receiver: Receiver;
  let port: number;
  let taken: boolean;
  const start = () =>
    startTemporalServer({ port, uiPort: null, searchAttributes: Object.values(SEARCH_ATTRIBUTES) });
  let server: Awaited<ReturnType<typeof start>>;

  beforeEach(async () => {
    taken = true;
    port = await choosePort();
    server = await start();
    inbox = await createTestInbox({ address: `127.0.0.1:${port}` });
    receiver = await startReceiver(() => answer(taken ? 204 : 500));
    await inbox.startWorker([dies], { webhook: { url: receiver.url, secrets: [SECRET] } });
  });
  afterEach(async () => {
    await inbox.close();
    await receiver.close();
    await server.stop();
  });

  const gathered = (messageId: string) =>
    eventually('it is gathered', async () =>
      (await alertsIn(inbox)).find(({ message_ids: ids }) => ids.includes(messageId)),
    );
  const told = (messageId: string) =>
    eventually('it is told', async () =>
      (await alertsIn(inbox)).find(({ message_ids: ids, ended }) => ended && ids.includes(messageId)),
    );

  it('keeps alerts waiting, and loses none', async () => {
    await server.kill();
    const messageId = inbox.id('meanwhile');
    await seedOpen(inbox.pool, messageId, 'DeadLetter', { days: 0 });
    const { id, ended } = await gathered(messageId);
    assert.equal(ended, false);
    server = await start();
    await told(messageId);
    assert.deepEqual(
      receiver.of(messageId).map((post) => post.id),
      [id],
    );
  });

  it('and comes back with nothing has the workflow of an alert started again', async () => {
    taken = false;
    const messageId = inbox.id('lost');
    await seedOpen(inbox.pool, messageId, 'DeadLetter', { days: 0 });
    await eventually('it was tried', () => receiver.of(messageId).length > 0);
    const { id } = await gathered(messageId);
    await server.kill();
    server = await start();
    taken = true;
    // So long it takes until somebody looks after it by itself, is minutes.
    await inbox.pool.query('update inbox.alerts set due_at = now()');
    await told(messageId);
    assert.deepEqual([...new Set(receiver.of(messageId).map((post) => post.id))], [id]);
    const { status } = await eventually('the workflow is there', () =>
      inbox.client.workflow.getHandle(alertWorkflowId(id)).describe(),
    );
    assert.ok(['RUNNING', 'COMPLETED'].includes(status.name), status.name);
  });
});
