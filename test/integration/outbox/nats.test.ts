import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { ConfigurationError } from '../../../src/core/errors.ts';
import { natsPublisher } from '../../../src/outbox/publishers/nats.ts';
import type { NatsPublisher, NatsPublisherOptions } from '../../../src/outbox/publishers/nats.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { NATS_PASSWORD, startNats } from '../../support/nats.ts';
import type { TestNats } from '../../support/nats.ts';
import {
  insertEvents,
  allPublished,
  countUnpublished,
  emptyOutbox,
  eventOf,
  oneTo,
  parkedRows,
  runCommand,
  startRelay,
} from '../../support/outbox.ts';
import type { TestRelay } from '../../support/outbox.ts';
import { eventually } from '../../support/wait.ts';

const run = promisify(execFile);

describe('the NATS publisher', () => {
  let database: TestDatabase;
  let nats: TestNats;
  let started: { relay: TestRelay; publisher: NatsPublisher }[] = [];
  const STREAM = 'EVENTS';

  before(async () => {
    database = await createTestDatabase();
    await database.pool.query('create table accounts (id text primary key, version integer not null)');
    nats = await startNats();
  });
  after(async () => {
    await nats.close();
    await database.drop();
  });
  beforeEach(async () => {
    await emptyOutbox(database.pool);
    await nats.addStream({ name: STREAM, subjects: ['inbox.>'] });
  });
  afterEach(async () => {
    for (const { relay: running } of started) {
      assert.ok(running.lines.every((line) => !line.includes(NATS_PASSWORD)));
    }
    for (const { relay: running, publisher } of started) {
      await running.stop();
      await publisher.close();
    }
    started = [];
    await nats.removeStream(STREAM);
  });

  async function relay(options: NatsPublisherOptions = { servers: nats.url }): Promise<TestRelay> {
    const publisher = await natsPublisher(options);
    const running = startRelay({
      databaseUrl: database.url,
      publish: publisher.publish,
      maximumBackoff: '1s',
    });
    started.push({ relay: running, publisher });
    return running;
  }

  it('writes the message that the docs describe', async () => {
    const event = {
      ...eventOf('no. 7\r\nü', { amountCents: 100, note: 'täglich 😀' }, 'Funds.Transferred *>'),
      metadata: { tenant: 'ö' },
    };
    await runCommand(database.pool, 'message/1', async () => [event], { correlationId: 'flow 1' });
    await relay();
    await allPublished(database.pool);
    const [message] = await nats.read(STREAM);
    const { rows } = await database.pool.query<{ id: string; position: string; created_at: Date }>(
      'select id, position, created_at from inbox.outbox',
    );
    assert.equal(message!.subject, 'inbox.account.Funds%2ETransferred%20%2A%3E');
    assert.deepEqual(message!.json(), event.payload);
    const headers = [...message!.headers!].map(([name, [value]]) => [name, decodeURIComponent(value!)]);
    assert.deepEqual(Object.fromEntries(headers), {
      'Nats-Msg-Id': rows[0]!.id,
      'Inbox-Aggregate-Type': 'account',
      'Inbox-Aggregate-Id': 'no. 7\r\nü',
      'Inbox-Event-Type': 'Funds.Transferred *>',
      'Inbox-Position': rows[0]!.position,
      'Inbox-Created-At': rows[0]!.created_at.toISOString(),
      'Inbox-Message-Id': 'message/1',
      'Inbox-Correlation-Id': 'flow 1',
      'Inbox-Metadata': '{"tenant":"ö"}',
    });
  });

  it('keeps the order of each aggregate in the stream', async (t) => {
    const ids = ['a', 'b', 'c'];
    await database.pool.query('insert into accounts select unnest($1::text[]), 0', [ids]);
    await relay();
    const send = async (sender: number) => {
      for (let n = 0; n < 50; n += 1) {
        const id = ids[(sender + n) % 3]!;
        await runCommand(database.pool, `nats-${sender}-${n}`, async (tx) => {
          const sql = 'update accounts set version = version + 1 where id = $1 returning version';
          const { rows } = await tx.query<{ version: number }>(sql, [id]);
          return [eventOf(id, rows[0]!.version, n % 2 === 0 ? 'Even' : 'Odd')];
        });
      }
    };
    await Promise.all(oneTo(6).map((sender) => send(sender)));
    await allPublished(database.pool);
    const messages = await nats.read(STREAM);
    assert.equal(messages.length, 300);
    for (const id of ids) {
      const own = messages.filter((message) => message.headers!.get('Inbox-Aggregate-Id') === id);
      assert.deepEqual(
        own.map((message) => message.json()),
        oneTo(own.length),
      );
    }
    t.diagnostic(`${messages.length} events of ${ids.length} aggregates`);
  });

  it('gets every event into the stream after the broker was down', async () => {
    const cut = await relay();
    await insertEvents(database.pool, 10);
    await allPublished(database.pool);
    await nats.stop();
    try {
      await insertEvents(database.pool, 300, 4);
      await eventually('the relay has failed twice', () =>
        cut.lines.some((line) => line.includes('failures=2')),
      );
      assert.ok((await countUnpublished(database.pool)) > 0);
      // Commands do not wait for the broker.
      await runCommand(database.pool, 'while-down', async () => [eventOf('a0', 301)]);
    } finally {
      await nats.start();
    }
    await allPublished(database.pool);
    const messages = await nats.read(STREAM);
    assert.equal(messages.length, 311);
    const own = messages.slice(10).filter((message) => message.headers!.get('Inbox-Aggregate-Id') === 'a0');
    const numbers = own.map((message) => message.json<number>());
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    );
    assert.ok(
      cut.lines.some((line) => line.includes(`could not connect to NATS at ${new URL(nats.url).host}`)),
    );
  });

  it('waits for a stream that does not exist and logs the subject', async () => {
    await nats.removeStream(STREAM);
    const waiting = await relay();
    await insertEvents(database.pool, 3);
    await eventually('the log has the subject', () =>
      waiting.lines.some((line) =>
        line.includes('no JetStream stream accepts the subject inbox.account.Happened'),
      ),
    );
    assert.equal(await countUnpublished(database.pool), 3);
    await nats.addStream({ name: STREAM, subjects: ['inbox.>'] });
    await allPublished(database.pool);
    assert.equal(await nats.count(STREAM), 3);
  });

  it('does not let an event overtake a rejected event of its aggregate', async () => {
    // The server's max_payload is 64 KB.
    await insertEvents(database.pool, 3);
    await runCommand(database.pool, 'large', async () => [eventOf('a0', 'x'.repeat(70_000))]);
    await insertEvents(database.pool, 3);
    const stuck = await relay();
    await eventually('the log has the reason', () =>
      stuck.lines.some((line) => line.includes('max_payload size exceeded')),
    );
    await eventually(
      'the events before it are published',
      async () => (await countUnpublished(database.pool)) === 4,
    );
    assert.equal(await nats.count(STREAM), 3);
    assert.ok(stuck.lines.every((line) => !line.includes('xxx')));
  });

  it('parks events with a part that is too large for the broker and publishes all others', async () => {
    const huge = 'x'.repeat(400_000);
    const rows = [
      { ...eventOf('payload', huge), metadata: {} },
      { ...eventOf(huge, 1) },
      { ...eventOf('metadata', 1), metadata: { huge } },
      { ...eventOf('type', 1, huge) },
      { ...eventOf('ok', 1), aggregatetype: huge },
    ];
    // The table can contain such events from before there were limits.
    for (const [n, row] of rows.entries()) await runCommand(database.pool, `huge-${n}`, async () => [row]);
    await insertEvents(database.pool, 50, 5);
    await relay();
    await eventually(
      'the large events are parked',
      async () => (await parkedRows(database.pool)).length === rows.length,
    );
    await insertEvents(database.pool, 50, 5);
    await eventually('the other events are published', async () => {
      return (await countUnpublished(database.pool)) === rows.length;
    });
    assert.equal(await nats.count(STREAM), 100);
    for (const { error } of await parkedRows(database.pool))
      assert.ok(!error.includes('xxx') && error.length < 500);
  });

  it('holds back only the aggregates whose subject no stream accepts', async () => {
    await nats.removeStream(STREAM);
    await nats.addStream({ name: STREAM, subjects: ['inbox.account.Happened'] });
    await insertEvents(database.pool, 3);
    await runCommand(database.pool, 'other', async () => [eventOf('a0', 4, 'Other'), eventOf('b', 1)]);
    await relay();
    await eventually('one aggregate is parked', async () => (await parkedRows(database.pool)).length === 1);
    await eventually('the other events are stored', async () => (await nats.count(STREAM)) === 4);
    assert.match((await parkedRows(database.pool))[0]!.error, /no JetStream stream accepts the subject/);
  });

  it('publishes nothing to a stream other than the configured one', async () => {
    const refused = await relay({ servers: nats.url, stream: 'OTHER' });
    await insertEvents(database.pool, 1);
    await eventually('the log has the reason', () =>
      refused.lines.some((line) => line.includes('expected stream does not match')),
    );
    assert.equal(await nats.count(STREAM), 0);
  });

  it('uses the connection and the subject of the caller', async () => {
    await nats.removeStream(STREAM);
    await nats.addStream({ name: STREAM, subjects: ['mine.>'] });
    const connection = await nats.connect();
    try {
      await relay({ connection, stream: STREAM, subject: (event) => `mine.${event.aggregateId}` });
      await insertEvents(database.pool, 4, 2);
      await allPublished(database.pool);
      const subjects = (await nats.read(STREAM)).map(({ subject }) => subject);
      assert.deepEqual(subjects.sort(), ['mine.a0', 'mine.a0', 'mine.a1', 'mine.a1']);
    } finally {
      await connection.close();
    }
  });

  it('rejects invalid options immediately', async () => {
    await assert.rejects(natsPublisher({}), ConfigurationError);
    await assert.rejects(natsPublisher({ servers: 'http://host' }), /must look like nats:/);
  });

  it('waits if authorization fails, and does not log the password', async () => {
    const servers = nats.url.replace('canary', 'wrong-canary');
    const refused = await relay({ servers });
    await insertEvents(database.pool, 1);
    await eventually('the log has the reason', () =>
      refused.lines.some((line) => /could not connect to NATS .* Authorization/i.test(line)),
    );
    assert.ok(refused.lines.every((line) => !line.includes('canary')));
  });

  it('names the packages to install if they are missing', async () => {
    const hook = `export const resolve = (name, context, next) => {
      if (!name.startsWith('@nats-io/')) return next(name, context);
      throw Object.assign(new Error('gone'), { code: 'ERR_MODULE_NOT_FOUND' });
    };`;
    const module = new URL('../../../src/outbox/publishers/nats.js', import.meta.url).href;
    const script = `import { register } from 'node:module';
      register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)});
      const { natsPublisher } = await import('${module}');
      await natsPublisher({ servers: 'localhost' }).catch((error) => console.log(error.name, error.message));`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script]);
    assert.match(stdout, /^ConfigurationError .*npm install @nats-io\/transport-node @nats-io\/jetstream/);
  });
});
