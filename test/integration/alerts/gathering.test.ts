import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { withTransaction } from '../../../src/platform/postgres.ts';
import { checkAlerts } from '../../../src/health/alerts.ts';
import { migrate, readMigrations } from '../../../src/store/migrate.ts';
import { prune } from '../../../src/retention/retention.ts';
import {
  beginAlertTry,
  gatherAlerts,
  noteDelivered,
  tryLockForGathering,
} from '../../../src/store/alerts.ts';
import { dies } from '../../support/alert-commands.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { answer, SECRET, startReceiver } from '../../support/receiver.ts';
import type { Receiver } from '../../support/receiver.ts';
import { seedOpen } from '../../support/seed.ts';
import { eventually } from '../../support/wait.ts';

const groupName = (index: number) => `Group${String(index).padStart(3, '0')}/Error/1`;

describe('gathering alerts', () => {
  let database: TestDatabase;
  let seeded = 0;

  beforeEach(async () => {
    database = await createTestDatabase();
  });
  afterEach(() => database.drop());

  async function seedLetters(group: string, count: number): Promise<void> {
    for (let index = 0; index < count; index += 1) {
      const messageId = `seeded-${(seeded += 1)}`;
      await seedOpen(database.pool, messageId, 'DeadLetter', { days: 0 });
      await database.pool.query('update inbox.dead_letters set failure_group = $2 where message_id = $1', [
        messageId,
        group,
      ]);
    }
  }
  const gather = (windowMs = 60_000) =>
    withTransaction(database.pool, async (tx) =>
      (await tryLockForGathering(tx)) ? gatherAlerts(tx, { windowMs, channels: ['hook', 'webhook'] }) : null,
    );
  const alerts = async () =>
    rows<{ id: string; failure_group: string; count: number }>(
      database.pool,
      'select id, failure_group, count from inbox.alerts order by failure_group, created_at',
    );
  const counts = async () => (await alerts()).map(({ failure_group: group, count }) => [group, count]);

  it('creates one alert per group if many workers gather at the same time', async () => {
    for (const group of ['a', 'b', 'c']) await seedLetters(group, 20);
    const gathered = await Promise.all(Array.from({ length: 10 }, () => gather()));
    assert.equal(
      gathered.reduce<number>((sum, each) => sum + (each ?? 0), 0),
      60,
    );
    assert.deepEqual(await counts(), [
      ['a', 20],
      ['b', 20],
      ['c', 20],
    ]);
  });

  it('holds dead letters of a group until its window is over', async () => {
    await seedLetters('a', 1);
    await gather();
    const [first] = await alerts();
    for (const channel of ['hook', 'webhook'] as const)
      await noteDelivered(database.pool, first!.id, channel);
    await seedLetters('a', 3);
    assert.equal(await gather(), 0);
    await database.pool.query(`update inbox.alerts set created_at = now() - interval '61 seconds'`);
    assert.equal(await gather(), 3);
    assert.deepEqual(await counts(), [
      ['a', 1],
      ['a', 3],
    ]);
  });

  it('holds dead letters for up to an hour while the last alert of their group is undelivered', async () => {
    await seedLetters('a', 1);
    await gather();
    const [first] = await alerts();
    await noteDelivered(database.pool, first!.id, 'hook');
    await seedLetters('a', 2);
    const makeOlder = (age: string) =>
      database.pool.query(`update inbox.alerts set created_at = now() - $1::interval`, [age]);
    await makeOlder('59 minutes');
    assert.equal(await gather(), 0);
    await makeOlder('61 minutes');
    assert.equal(await gather(), 2);
  });

  it('leaves out locked dead letters until they are unlocked', async () => {
    await seedLetters('a', 2);
    const client = await database.pool.connect();
    await client.query('begin');
    await client.query('select from inbox.dead_letters order by id limit 1 for update');
    assert.equal(await gather(0), 1);
    await client.query('rollback');
    client.release();
    const [first] = await alerts();
    for (const channel of ['hook', 'webhook'] as const)
      await noteDelivered(database.pool, first!.id, channel);
    assert.equal(await gather(0), 1);
    assert.deepEqual(await counts(), [
      ['a', 1],
      ['a', 1],
    ]);
  });

  it('puts all groups beyond the oldest twenty of a window into one alert', async () => {
    for (let index = 59; index >= 0; index -= 1) await seedLetters(groupName(index), index === 0 ? 3 : 1);
    assert.equal(await gather(), 62);
    const first = await counts();
    const own = Array.from({ length: 20 }, (_, index) => [groupName(40 + index), 1]);
    assert.deepEqual(first, [['(other groups)', 42], ...own]);
    const [shared] = await rows<{ command_type: string; error_type: string; message_ids: string[] }>(
      database.pool,
      `select command_type, error_type, message_ids from inbox.alerts where failure_group = '(other groups)'`,
    );
    assert.deepEqual([shared!.command_type, shared!.error_type], ['(other groups)', '(other groups)']);
    assert.equal(shared!.message_ids.length, 5);

    // Dead letters that follow now wait for the end of the window, even those of a new group.
    await seedLetters(groupName(0), 1);
    await seedLetters('New/Error/1', 1);
    assert.equal(await gather(), 0);
    for (const { id } of await alerts())
      for (const channel of ['hook', 'webhook'] as const) await noteDelivered(database.pool, id, channel);
    await database.pool.query(`update inbox.alerts set created_at = now() - interval '61 seconds'`);
    assert.equal(await gather(), 2);
    assert.deepEqual((await counts()).filter(([, count]) => count === 1).length, 22);
  });

  it('creates no alert for groups whose dead letters were all resolved long ago', async () => {
    for (let index = 0; index < 25; index += 1) await seedLetters(groupName(index), 1);
    await database.pool.query(
      `update inbox.dead_letters set resolution = 'discarded', resolved_by = 'ada', resolved_at = now() - interval '2 days'`,
    );
    await seedLetters('New/Error/1', 2);
    assert.equal(await gather(), 27);
    assert.deepEqual(await counts(), [['New/Error/1', 2]]);
  });

  it('creates no further alerts while those of the last hour are undelivered', async () => {
    for (let index = 0; index < 30; index += 1) await seedLetters(`Group${index}/Error/1`, 1);
    assert.equal(await gather(), 30);
    await database.pool.query(`update inbox.alerts set created_at = now() - interval '59 minutes'`);
    for (let index = 30; index < 40; index += 1) await seedLetters(`Group${index}/Error/1`, 1);
    assert.equal(await gather(), 0);
    await database.pool.query(`update inbox.alerts set created_at = now() - interval '61 minutes'`);
    assert.equal(await gather(), 10);
  });

  it('is reported by the doctor if one session holds the lock for too long', async () => {
    assert.ok((await checkAlerts(database.pool, 10_000, 0)).ok);
    const client = await database.pool.connect();
    await client.query(`set application_name = 'inbox records'; begin`);
    assert.ok(await tryLockForGathering(client));
    const { finding, remedy } = await checkAlerts(database.pool, 10_000, 0);
    await client.query('rollback');
    client.release(true);
    assert.match(finding, /^no alerts are created: inbox records of inbox \(pid \d+\) has held the lock/);
    assert.match(remedy!, /pg_terminate_backend\(\d+\)/);
  });

  it('creates an alert that is tried until every channel has it', async () => {
    await seedLetters('a', 1);
    await gather();
    const [{ id } = { id: '' }] = await alerts();
    const first = await beginAlertTry(database.pool, id, 60_000);
    assert.deepEqual([first!.waiting, first!.tries, first!.last], [['hook', 'webhook'], 1, false]);
    // Noting a delivery is idempotent: an outdated attempt may note it again.
    await Promise.all([1, 2].map(() => noteDelivered(database.pool, id, 'webhook')));
    const second = await beginAlertTry(database.pool, id, 60_000);
    assert.deepEqual([second!.waiting, second!.tries], [['hook'], 2]);
    await noteDelivered(database.pool, id, 'hook');
    assert.equal(await beginAlertTry(database.pool, id, 60_000), null);
  });

  it('never includes dead letters from before the alerts migration', async () => {
    const empty = await createTestDatabase('empty');
    try {
      const all = await readMigrations();
      const alertsAt = all.findIndex(({ name }) => name.endsWith('_alerts.sql'));
      await migrate(empty.pool, all.slice(0, alertsAt));
      await seedOpen(empty.pool, 'before', 'DeadLetter', { days: 1 });
      await migrate(empty.pool);
      await seedOpen(empty.pool, 'afterwards', 'DeadLetter', { days: 0 });
      const gathered = await withTransaction(empty.pool, (tx) =>
        gatherAlerts(tx, { windowMs: 0, channels: ['hook'] }),
      );
      assert.equal(gathered, 1);
      const [alert] = await rows<{ message_ids: string[] }>(empty.pool, 'select * from inbox.alerts');
      assert.deepEqual(alert!.message_ids, ['afterwards']);
    } finally {
      await empty.drop();
    }
  });

  it('creates rows that a prune of dead letters deletes once they have ended', async () => {
    await seedLetters('a', 1);
    await seedLetters('b', 1);
    await gather();
    const [ended] = await alerts();
    for (const channel of ['hook', 'webhook'] as const)
      await noteDelivered(database.pool, ended!.id, channel);
    await eventually('the ended alert is pruned', async () => {
      await prune(database.pool, { completedOlderThanMs: 0, deadLettersOlderThanMs: 0 });
      return (await alerts()).length === 1;
    });
    assert.deepEqual(await counts(), [['b', 1]]);
  });
});

describe('a receiver that never accepts an alert', () => {
  let inbox: TestInbox;
  let receiver: Receiver;

  before(async () => {
    inbox = await createTestInbox();
    receiver = await startReceiver(() => answer(500));
  });
  after(async () => {
    await inbox.close();
    await receiver.close();
  });
  const alert = async () =>
    (
      await rows<{ given_up: string[]; tries: number; last_error: string }>(
        inbox.pool,
        'select * from inbox.alerts',
      )
    )[0];

  it('gets no more retries of an alert when the give-up time is over', async () => {
    const webhook = { url: receiver.url, secrets: [SECRET] };
    const worker = await inbox.startWorker([dies], { webhook, alertGiveUpMs: 1_500 });
    await inbox.start(inbox.id('dies'), { commandType: 'Dies', payload: { cause: 'GivenUp' } });
    const givenUp = await eventually('the alert is given up', async () => {
      const found = await alert();
      return found?.given_up.length ? found : null;
    });
    assert.deepEqual([givenUp.given_up, givenUp.last_error], [['webhook'], 'webhook answered 500']);
    // The first attempt is never the last one. On a busy machine the second one can come after the time is over.
    assert.ok(givenUp.tries === 2 || givenUp.tries === 3, `${givenUp.tries} tries`);
    assert.equal(receiver.posts.length, givenUp.tries);
    assert.equal(new Set(receiver.posts.map(({ id }) => id)).size, 1);
    await worker.stop();
  });

  it('gets nothing from a worker without the webhook settings, which keeps the alert for other workers', async () => {
    await inbox.pool.query(
      `update inbox.alerts set waiting = given_up, given_up = '{}', ended_at = null, first_tried_at = null, due_at = now()`,
    );
    await inbox.startWorker([dies], {}, undefined, () => {});
    await eventually('the alert has the reason', async () =>
      /INBOX_ALERT_URL/.test((await alert())!.last_error),
    );
    assert.deepEqual((await alert())!.given_up, []);
  });
});
