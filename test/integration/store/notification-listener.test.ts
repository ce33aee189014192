/** Tests notifications over every kind of connection, and what happens if they cannot arrive. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Pool } from 'pg';
import type { PoolConfig } from 'pg';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import { listen } from '../../../src/store/notification-listener.ts';
import type { Listener } from '../../../src/store/notification-listener.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { startPgBouncer, withoutPgBouncer } from '../../support/pgbouncer.ts';
import type { PgBouncer } from '../../support/pgbouncer.ts';
import { eventually } from '../../support/wait.ts';

const LISTENING = `select pid from pg_stat_activity
  where datname = current_database() and application_name = 'inbox listener' and query like 'listen %'`;

const fields = (url: URL) => ({
  host: url.hostname,
  port: Number(url.port),
  user: decodeURIComponent(url.username),
  password: decodeURIComponent(url.password),
  database: url.pathname.slice(1),
});

describe('the listener’s connection', () => {
  let fixture: TestInbox;
  before(async () => {
    fixture = await createTestInbox();
    const echo = defineCommand({ type: 'Echo', schema: z.any(), express: true, handle: async () => 'done' });
    await fixture.startWorker([echo]);
  });
  after(() => fixture.close());

  /** All forms in which a pool can be configured with its server. */
  const forms: Record<string, (url: URL) => PoolConfig> = {
    'a connection string': (url) => ({ connectionString: url.href }),
    'discrete fields': (url) => fields(url),
    'a password function': (url) => ({ ...fields(url), password: () => decodeURIComponent(url.password) }),
    'an asynchronous password function': (url) => ({
      ...fields(url),
      password: async () => decodeURIComponent(url.password),
    }),
    'a connection string and a separate password': (url) => {
      const { password, ...rest } = fields(url);
      return { ...rest, password, application_name: 'shop' };
    },
  };

  for (const [form, configOf] of Object.entries(forms)) {
    it(`uses the settings of a pool with ${form}`, async () => {
      const pool = new Pool({ ...configOf(new URL(fixture.database.url)), max: 3 });
      const lines: string[] = [];
      const inbox = await createInbox({ pool, log: createLog('warn', (line) => lines.push(line)) });
      try {
        const others = (await rows(fixture.pool, LISTENING)).length;
        await inbox.execute({ messageId: fixture.id(form), type: 'Echo', payload: {} });
        await eventually(
          'the connection listens',
          async () => (await rows(fixture.pool, LISTENING)).length > others,
        );
        assert.deepEqual(lines, []);
      } finally {
        await inbox.close();
        await pool.end();
      }
    });
  }

  it('logs why it cannot connect', async () => {
    const lines: string[] = [];
    const url = new URL(fixture.database.url);
    url.port = '1';
    const listener = listen({
      pool: fixture.pool,
      directUrl: url.href,
      channel: 'test',
      onWake: () => {},
      log: createLog('warn', (line) => lines.push(line)),
      meanwhile: 'we poll',
    });
    try {
      await eventually('the reason is logged', () => lines.length > 0);
      assert.match(lines[0]!, /interrupted.* error=\w+ code=ECONNREFUSED reason=/);
      assert.ok(!lines[0]!.includes(decodeURIComponent(url.password)));
    } finally {
      await listener.close();
    }
  });
});

describe('the listener behind PgBouncer', { skip: withoutPgBouncer }, () => {
  let fixture: TestInbox;
  let bouncer: PgBouncer | undefined;
  let pool: Pool;
  let listener: Listener | undefined;
  const heard: (string | null)[] = [];
  const lines: string[] = [];

  before(async () => {
    fixture = await createTestInbox();
  });
  after(() => fixture.close());

  async function listenThrough(poolMode: 'session' | 'transaction', directUrl?: string): Promise<void> {
    heard.length = 0;
    lines.length = 0;
    bouncer = await startPgBouncer(fixture.database.url, { poolMode });
    pool = new Pool({ connectionString: bouncer.url, max: 3 });
    listener = listen({
      pool,
      directUrl,
      channel: 'test_channel',
      onWake: (payload) => heard.push(payload),
      log: createLog('info', (line) => lines.push(line)),
      meanwhile: 'entries are found by polling',
    });
  }
  async function closeAll(): Promise<void> {
    await listener?.close();
    await pool.end();
    await bouncer?.stop();
  }
  const expectNotification = async (payload: string) => {
    await eventually('the listener is connected', () => heard.length > 0);
    await eventually('the notification arrives', async () => {
      await fixture.pool.query('select pg_notify($1, $2)', ['test_channel', payload]);
      return heard.includes(payload);
    });
  };

  it('works in session mode', async () => {
    await listenThrough('session');
    try {
      await expectNotification('in session mode');
      assert.deepEqual(lines, []);
    } finally {
      await closeAll();
    }
  });

  it('falls back to polling in transaction mode, and logs what to set', async () => {
    await listenThrough('transaction');
    try {
      await eventually('the listener falls back to polling', () => lines.length > 0);
      assert.match(lines[0]!, /notifications do not arrive.*entries are found by polling.*INBOX_DIRECT_URL/);
      assert.equal(lines.length, 1);
      // The caller looks for work itself.
      assert.ok(heard.includes(null));
      const backends = await Promise.all(
        [1, 2, 3].map(() => pool.query('select * from pg_listening_channels()')),
      );
      assert.deepEqual(
        backends.flatMap(({ rows: found }) => found),
        [],
      );
    } finally {
      await closeAll();
    }
  });

  it('works in transaction mode over INBOX_DIRECT_URL', async () => {
    await listenThrough('transaction', fixture.database.url);
    try {
      await expectNotification('directly');
      assert.deepEqual(lines, []);
    } finally {
      await closeAll();
    }
  });

  it('falls back to polling when the direct URL leads to another database', async () => {
    const other = new URL(fixture.database.url);
    other.pathname = '/postgres';
    await listenThrough('transaction', other.href);
    try {
      await eventually('the listener falls back to polling', () => lines.length > 0);
      assert.match(lines[0]!, /INBOX_DIRECT_URL/);
    } finally {
      await closeAll();
    }
  });
});
