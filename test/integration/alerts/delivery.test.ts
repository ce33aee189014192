import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { Webhook } from 'standardwebhooks';
import type { DeadLetterAlert } from '../../../src/core/alert.ts';
import { checkHealth } from '../../../src/health/check-health.ts';
import { alertWorkflowId } from '../../../src/core/protocol.ts';
import { CANARY, dies } from '../../support/alert-commands.ts';
import { failureGroupLink } from '../../../src/temporal/web-ui.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { answer, SECRET, startReceiver } from '../../support/receiver.ts';
import type { Behavior, Post, Receiver } from '../../support/receiver.ts';
import { resolveLetter, seedOpen } from '../../support/seed.ts';
import { eventually } from '../../support/wait.ts';

const OLD_SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

/** The number of dead letters that the storm test creates at once. */
const STORM = 80;

/** How the receiver answers an alert of this cause, depending on how often it has seen the alert. */
const BEHAVIOURS: Record<string, (post: Post) => Behavior> = {
  Redirects: ({ repeats }) => answer(repeats === 0 ? 302 : 204, { location: '/elsewhere' }),
  Closes: ({ repeats }) => (repeats === 0 ? (response) => response.destroy() : answer(204)),
  Throttles: ({ repeats }) => answer(repeats === 0 ? 429 : 200, { 'retry-after': '2' }),
  NotFound: ({ repeats }) => answer(repeats === 0 ? 404 : 202),
  EndlessBody: () => (response) => {
    response.writeHead(200);
    const more = setInterval(() => response.write('x'.repeat(10_000)), 5);
    response.on('close', () => clearInterval(more));
  },
  Gone: () => answer(410),
};
for (const index of [1, 2, 3, 4, 5, 6]) {
  BEHAVIOURS[`Hangs${index}`] = ({ repeats }) => (repeats === 0 ? () => {} : answer(204));
}

interface Row {
  id: string;
  error_type: string;
  count: number;
  message_ids: string[];
  waiting: string[];
  given_up: string[];
  tries: number;
  last_error: string | null;
  ended: boolean;
}

const UI_URL = 'https://temporal.example.com';

describe('alerts', () => {
  let inbox: TestInbox;
  let receiver: Receiver;
  const hooked: DeadLetterAlert[] = [];

  before(async () => {
    inbox = await createTestInbox();
    receiver = await startReceiver(({ body, ...post }) => {
      const behave = BEHAVIOURS[body.data.errorType];
      return behave ? behave({ body, ...post }) : answer(204);
    });
    const settings = {
      webhook: { url: receiver.url, secrets: [OLD_SECRET, SECRET] },
      alertWindowMs: 3_000,
      concurrency: 64,
      temporalUiUrl: UI_URL,
    };
    await inbox.startWorker([dies], settings, undefined, (alert) => {
      hooked.push(alert);
      const { errorType } = alert;
      const calls = hooked.filter(({ alertId }) => alertId === alert.alertId).length;
      if (errorType === 'HookFails' && calls < 3) throw new TypeError(`hook saw ${CANARY}`);
      if (errorType === 'HookAlwaysFails') throw new TypeError(`hook saw ${CANARY}`);
    });
  });
  after(async () => {
    await inbox.close();
    await receiver.close();
  });

  async function die(cause: string, name = cause): Promise<string> {
    const messageId = inbox.id(name);
    const payload = { cause, secret: CANARY };
    await inbox.start(messageId, { commandType: 'Dies', payload });
    return messageId;
  }
  /** The history of a completed alert workflow. Waits for the workflow, because the row is written before it completes. */
  async function historyOf(alertId: string): Promise<string> {
    const handle = inbox.client.workflow.getHandle(alertWorkflowId(alertId));
    await handle.result();
    return historyToJSON(await handle.fetchHistory());
  }
  const alertsOf = (cause: string) =>
    rows<Row>(
      inbox.pool,
      `select *, ended_at is not null as ended from inbox.alerts where error_type = $1 order by created_at`,
      [cause],
    );
  const endedAlert = (cause: string) =>
    eventually(`the alert of ${cause} has ended`, async () => {
      const [alert] = await alertsOf(cause);
      return alert?.ended ? alert : null;
    });
  const hookedOf = (cause: string) => hooked.filter(({ errorType }) => errorType === cause);

  it('give the hook and the webhook the same small body, signed for the webhook', async () => {
    const messageId = await die('Plain');
    const { id } = await endedAlert('Plain');
    const [post, ...more] = receiver.of(messageId);
    assert.deepEqual(more, []);
    assert.equal(post!.id, id);
    const { data, type, timestamp } = post!.body;
    assert.equal(type, 'inbox.dead_letter');
    assert.equal(new Date(timestamp).toISOString(), timestamp);
    const { failureGroup, firstDeadAt, lastDeadAt, webUiUrl, ...rest } = data;
    assert.equal(webUiUrl, failureGroupLink({ url: UI_URL, namespace: 'default' }, failureGroup));
    assert.deepEqual(rest, {
      alertId: id,
      commandType: 'Dies',
      errorType: 'Plain',
      count: 1,
      messageIds: [messageId],
    });
    assert.match(failureGroup, /^Dies\/Plain\/[0-9a-f]{8}$/);
    assert.equal(firstDeadAt, lastDeadAt);
    const [hookAlert, ...repeats] = hookedOf('Plain');
    assert.deepEqual(repeats, []);
    assert.deepEqual(JSON.parse(JSON.stringify(hookAlert)), { ...data, createdAt: timestamp });
    const [letter] = await rows<{ alert_id: string }>(
      inbox.pool,
      'select alert_id from inbox.dead_letters where message_id = $1',
      [messageId],
    );
    assert.equal(letter!.alert_id, id);
  });

  it('are created soon after the command died', async () => {
    const messageId = await die('Quick');
    await endedAlert('Quick');
    const [times] = await rows<{ ms: number }>(
      inbox.pool,
      `select (extract(epoch from a.created_at - d.dead_at) * 1000)::float8 as ms
       from inbox.dead_letters d join inbox.alerts a on a.id = d.alert_id where message_id = $1`,
      [messageId],
    );
    assert.ok(times!.ms < 30_000, `gathered after ${times!.ms} ms`);
  });

  it('are signed with every secret', async () => {
    const messageId = await die('TwoSecrets');
    await endedAlert('TwoSecrets');
    const [post] = receiver.of(messageId);
    assert.equal(String(post!.headers['webhook-signature']).split(' ').length, 2);
    for (const secret of [SECRET, OLD_SECRET]) {
      new Webhook(secret).verify(post!.text, post!.headers as Record<string, string>);
    }
    const unknown = new Webhook(`whsec_${Buffer.alloc(32, 9).toString('base64')}`);
    assert.throws(() => unknown.verify(post!.text, post!.headers as Record<string, string>));
  });

  it('contain no payload and no error message, and neither does their workflow history', async () => {
    const messageId = await die('Canary');
    const { id } = await endedAlert('Canary');
    const [post] = receiver.of(messageId);
    assert.doesNotMatch(post!.text + JSON.stringify(post!.headers), new RegExp(CANARY));
    const history = await historyOf(id);
    const plain = history.replace(/"data": "([^"]*)"/g, (_, data: string) =>
      Buffer.from(data, 'base64').toString(),
    );
    assert.ok(plain.includes(id));
    assert.doesNotMatch(plain, new RegExp(CANARY));
  });

  for (const [cause, firstError] of [
    ['Redirects', 'webhook answered 302; redirects are not followed: set INBOX_ALERT_URL to the final URL'],
    ['Closes', 'webhook could not be reached: UND_ERR_SOCKET'],
    ['Throttles', 'webhook answered 429'],
    ['NotFound', 'webhook answered 404'],
  ] as const) {
    it(`are retried under the same id after a failed delivery (${cause})`, async () => {
      const messageId = await die(cause);
      const { id, tries, last_error: lastError, given_up: givenUp } = await endedAlert(cause);
      const posts = receiver.of(messageId);
      assert.deepEqual([tries, lastError, givenUp], [2, firstError, []]);
      assert.deepEqual(
        posts.map((post) => [post.id, post.path]),
        [
          [id, '/inbox'],
          [id, '/inbox'],
        ],
      );
      assert.equal(posts[0]!.text, posts[1]!.text);
      const [first, second] = posts.map(({ headers }) => Number(headers['webhook-timestamp']));
      assert.ok(second! - first! >= (cause === 'Throttles' ? 2 : 1), `${first} then ${second}`);
      assert.equal(hookedOf(cause).length, 1, 'the hook is not called again because of the webhook');
    });
  }

  it('are delivered when the status arrives, even if the body never ends', async () => {
    const messageId = await die('EndlessBody');
    const { tries } = await endedAlert('EndlessBody');
    assert.equal(tries, 1);
    assert.equal(receiver.of(messageId).length, 1);
  });

  it('time out after 10 s and are retried, at most 4 at a time', async () => {
    const causes = Object.keys(BEHAVIOURS).filter((cause) => cause.startsWith('Hangs'));
    const ids = await Promise.all(causes.map((cause) => die(cause)));
    const ended = await Promise.all(causes.map((cause) => endedAlert(cause)));
    for (const [index, { last_error: lastError }] of ended.entries()) {
      assert.equal(lastError, 'webhook did not answer within 10 s');
      assert.equal(new Set(receiver.of(ids[index]!).map(({ id }) => id)).size, 1);
      assert.equal(receiver.of(ids[index]!).length, 2);
    }
    assert.ok(receiver.mostAtOnce <= 4, `${receiver.mostAtOnce} at once`);
  });

  it('go to the webhook once while the hook fails, and keep the message of the hook’s error out of Temporal', async () => {
    const messageId = await die('HookFails');
    const { id, tries, last_error: lastError } = await endedAlert('HookFails');
    assert.equal(tries, 3);
    assert.equal(lastError, `hook threw TypeError: hook saw ${CANARY}`);
    assert.deepEqual(
      hookedOf('HookFails').map(({ alertId }) => alertId),
      [id, id, id],
    );
    assert.equal(receiver.of(messageId).length, 1);
    const history = await historyOf(id);
    assert.match(history, /hook threw TypeError/);
    assert.doesNotMatch(history, new RegExp(CANARY));
  });

  it('are given up after 410 Gone, for this alert only, and the doctor reports it', async () => {
    const messageId = await die('Gone');
    const alert = await endedAlert('Gone');
    assert.deepEqual(
      [alert.given_up, alert.tries, alert.last_error],
      [['webhook'], 1, 'webhook answered 410'],
    );
    assert.equal(hookedOf('Gone').length, 1);
    await assert.rejects(inbox.client.workflow.getHandle(alertWorkflowId(alert.id)).result());
    const findings = await checkHealth({ env: { ...process.env, DATABASE_URL: inbox.database.url } });
    const finding = findings.find(({ name }) => name === 'alerts')!;
    assert.match(finding.finding, /^1 undelivered .*, 1 of them given up/);
    assert.match(finding.remedy!, new RegExp(`where id = '${alert.id}'`));

    // The statement from the docs, for when the receiver is back.
    BEHAVIOURS['Gone'] = () => answer(204);
    await inbox.pool.query(
      `update inbox.alerts set waiting = given_up, given_up = '{}', ended_at = null, first_tried_at = null, due_at = now()
       where given_up <> '{}'`,
    );
    const retried = await endedAlert('Gone');
    assert.deepEqual([retried.id, retried.given_up], [alert.id, []]);
    assert.equal(receiver.of(messageId).length, 2);
    assert.equal(hookedOf('Gone').length, 1);
  });

  it('are few in a storm, with correct counts, and contain each dead letter once', async () => {
    await Promise.all(Array.from({ length: STORM }, (_, index) => die('Storm', `storm-${index}`)));
    await eventually('all dead letters are in an alert', async () => {
      const found = await rows<{ n: number }>(
        inbox.pool,
        `select count(*)::integer as n from inbox.dead_letters where error_type = 'Storm' and alert_id is not null`,
      );
      return found[0]!.n === STORM;
    });
    await eventually('all alerts have ended', async () =>
      (await alertsOf('Storm')).every(({ ended }) => ended),
    );
    const alerts = await alertsOf('Storm');
    const [letters] = await rows<{ seconds: number }>(
      inbox.pool,
      `select extract(epoch from max(dead_at) - min(dead_at))::float8 as seconds
       from inbox.dead_letters where error_type = 'Storm'`,
    );
    assert.ok(
      alerts.length <= 2 + letters!.seconds / 3,
      `${alerts.length} alerts of a storm of ${letters!.seconds} s`,
    );
    assert.equal(
      alerts.reduce((sum, { count }) => sum + count, 0),
      STORM,
    );
    for (const { id, count, message_ids: messageIds } of alerts) {
      assert.ok(messageIds.length <= 5);
      const own = await rows(inbox.pool, 'select from inbox.dead_letters where alert_id = $1', [id]);
      assert.equal(own.length, count);
      assert.deepEqual(
        hookedOf('Storm')
          .filter(({ alertId }) => alertId === id)
          .map((alert) => alert.count),
        [count],
      );
      assert.deepEqual(
        receiver.posts.filter((post) => post.id === id).map(({ body }) => body.data.count),
        [count],
      );
    }
  });

  it('leave out a dead letter that was rolled back and include one that commits late', async () => {
    const transaction = async () => {
      const client = await inbox.pool.connect();
      await client.query('begin');
      return client;
    };
    const [rolledBack, late] = [await transaction(), await transaction()];
    await seedOpen(rolledBack, inbox.id('rolled-back'), 'DeadLetter', { days: 0 });
    await seedOpen(late, inbox.id('late'), 'DeadLetter', { days: 0 });
    await seedOpen(inbox.pool, inbox.id('committed'), 'DeadLetter', { days: 0 });
    await endedAlert('Broken');
    await rolledBack.query('rollback');
    await late.query('commit');
    rolledBack.release();
    late.release();
    await eventually('the late dead letter is announced', () => receiver.of(inbox.id('late')).length === 1);
    const alerts = await alertsOf('Broken');
    assert.deepEqual(
      alerts.map(({ message_ids: ids }) => ids),
      [[inbox.id('committed')], [inbox.id('late')]],
    );
  });

  it('skip dead letters that were resolved long before', async () => {
    await seedOpen(inbox.pool, inbox.id('past'), 'DeadLetter', { days: 9 });
    await resolveLetter(inbox.pool, inbox.id('past'), 'discarded', 8);
    const letter = await eventually('the dead letter is skipped', async () => {
      const found = await rows<{ alert_id: string | null }>(
        inbox.pool,
        'select alert_id from inbox.dead_letters where message_id = $1',
        [inbox.id('past')],
      );
      return found[0]!.alert_id === null ? null : found[0]!;
    });
    assert.equal(letter.alert_id, '00000000-0000-0000-0000-000000000000');
    assert.equal(receiver.of(inbox.id('past')).length, 0);
  });

  it('get a new workflow if theirs is terminated, and go only to channels that do not have them yet', async () => {
    const messageId = await die('HookAlwaysFails');
    const alert = await eventually('the hook was called', async () => {
      const [found] = await alertsOf('HookAlwaysFails');
      return found?.last_error ? found : null;
    });
    const handle = inbox.client.workflow.getHandle(alertWorkflowId(alert.id));
    await handle.terminate('by mistake');
    const calls = hookedOf('HookAlwaysFails').length;
    await inbox.pool.query('update inbox.alerts set due_at = now() where id = $1', [alert.id]);
    await eventually('the hook is called again', () => hookedOf('HookAlwaysFails').length > calls);
    assert.equal(receiver.of(messageId).length, 1);
  });
});
