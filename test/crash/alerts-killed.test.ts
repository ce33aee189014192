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
/**
 * A hang at a point inside the alert loop would never end. In production only statements and starts can wait there, and both
 * have time limits.
 */
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

describe('a worker that dies, fails or hangs while it sends alerts', () => {
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

  it('repeats each alert with the same id and loses none', { timeout: 240_000 }, async () => {
    const cases = POINTS.flatMap((point) => KINDS(point).map((kind) => ({ point, kind })));
    assert.equal(cases.length, 10);
    // Hangs come first, because they take the longest. A kill also ends the worker's other work, so kills run one by one.
    for (const kind of ['hang', 'error', 'kill'] as const) {
      const some = cases.filter((each) => each.kind === kind);
      for (const group of kind === 'kill' ? some.map((each) => [each]) : [some]) await crash(group);
    }
    await eventually(
      'every alert is delivered',
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
      for (const ids of [posts.map((post) => post.id), calls.map((call) => call.alert_id)]) {
        assert.deepEqual([...new Set(ids)], [id], messageId);
      }
      // If the worker died after the delivery, before it was recorded, the receiver gets the alert again.
      const repeats = posts.length + calls.length - 2;
      if (messageId!.includes('alert-after-delivery')) assert.ok(repeats >= 1, `${messageId} ${repeats}`);
    }
    assert.ok(fleet.deaths >= POINTS.length, `${fleet.deaths} workers died`);
  });

  it('does not log payloads, error messages or secrets', () => {
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
    if (group[0]!.kind === 'kill') await eventually('the worker has died', () => fleet.deaths > deaths);
  }
});

describe('alerts while Temporal is down', () => {
  let inbox: TestInbox;
  let receiver: Receiver;
  let port: number;
  let isAccepted: boolean;
  const start = () =>
    startTemporalServer({ port, uiPort: null, searchAttributes: Object.values(SEARCH_ATTRIBUTES) });
  let server: Awaited<ReturnType<typeof start>>;

  beforeEach(async () => {
    isAccepted = true;
    port = await choosePort();
    server = await start();
    inbox = await createTestInbox({ address: `127.0.0.1:${port}` });
    receiver = await startReceiver(() => answer(isAccepted ? 204 : 500));
    await inbox.startWorker([dies], { webhook: { url: receiver.url, secrets: [SECRET] } });
  });
  afterEach(async () => {
    await inbox.close();
    await receiver.close();
    await server.stop();
  });

  const gathered = (messageId: string) =>
    eventually('the alert is gathered', async () =>
      (await alertsIn(inbox)).find(({ message_ids: ids }) => ids.includes(messageId)),
    );
  const delivered = (messageId: string) =>
    eventually('the alert is delivered', async () =>
      (await alertsIn(inbox)).find(({ message_ids: ids, ended }) => ended && ids.includes(messageId)),
    );

  it('wait, and are delivered when Temporal is back', async () => {
    await server.kill();
    const messageId = inbox.id('meanwhile');
    await seedOpen(inbox.pool, messageId, 'DeadLetter', { days: 0 });
    const { id, ended } = await gathered(messageId);
    assert.equal(ended, false);
    server = await start();
    await delivered(messageId);
    assert.deepEqual(
      receiver.of(messageId).map((post) => post.id),
      [id],
    );
  });

  it('get a new workflow if Temporal has lost its data', async () => {
    isAccepted = false;
    const messageId = inbox.id('lost');
    await seedOpen(inbox.pool, messageId, 'DeadLetter', { days: 0 });
    await eventually('a delivery was attempted', () => receiver.of(messageId).length > 0);
    const { id } = await gathered(messageId);
    await server.kill();
    server = await start();
    isAccepted = true;
    // Without this, it would take minutes until the alert loop checks the alert again.
    await inbox.pool.query('update inbox.alerts set due_at = now()');
    await delivered(messageId);
    assert.deepEqual([...new Set(receiver.of(messageId).map((post) => post.id))], [id]);
    const { status } = await eventually('the workflow exists', () =>
      inbox.client.workflow.getHandle(alertWorkflowId(id)).describe(),
    );
    assert.ok(['RUNNING', 'COMPLETED'].includes(status.name), status.name);
  });
});
