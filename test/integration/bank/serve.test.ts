import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { after, afterEach, before, describe, it } from 'node:test';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { rows } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const SERVE = fileURLToPath(new URL('../../../examples/bank/serve.js', import.meta.url));

interface ServeProcess {
  log(): string;
  url(): Promise<string>;
  kill(signal: NodeJS.Signals): void;
  /** The exit code. */
  ended: Promise<number | null>;
}

describe('serve.js', () => {
  let database: TestDatabase;
  let empty: TestDatabase;
  const started: ServeProcess[] = [];

  before(async () => {
    database = await createTestDatabase();
    empty = await createTestDatabase('empty');
  });
  afterEach(async () => {
    for (const child of started.splice(0)) {
      child.kill('SIGKILL');
      await child.ended;
    }
  });
  after(async () => {
    await database.drop();
    await empty.drop();
  });

  function start(env: Record<string, string | undefined> = {}): ServeProcess {
    const child = spawn(process.execPath, [SERVE], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, DATABASE_URL: database.url, PORT: undefined, ...env },
    });
    let log = '';
    child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
    const serveProcess: ServeProcess = {
      log: () => log,
      url: () =>
        eventually('the server listens', () => {
          if (child.exitCode !== null) throw new Error(`serve.js ended: ${log}`);
          return /listening url=(\S+)/.exec(log)?.[1];
        }),
      kill: (signal) => void child.kill(signal),
      ended: once(child, 'close').then(([code]) => code as number | null),
    };
    started.push(serveProcess);
    return serveProcess;
  }

  it('answers pending requests after SIGTERM and exits with code 0', async () => {
    const child = start();
    const url = await child.url();
    const holder = await database.pool.connect();
    await holder.query('begin; lock table bank.transfer_requests in exclusive mode');
    const answer = fetch(`${url}/transfers`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'last' },
      body: JSON.stringify({ from: 'a', to: 'b', amountCents: 1 }),
    });
    await eventually('the request waits for the lock', async () => {
      const sql = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      return (await rows(database.pool, sql)).length === 1;
    });
    child.kill('SIGTERM');
    await eventually('new connections are refused', () =>
      fetch(`${url}/transfers/last`).then(
        () => false,
        () => true,
      ),
    );
    await holder.query('rollback');
    holder.release();
    const { status, headers } = await answer;
    assert.deepEqual([status, headers.get('connection')], [202, 'close']);
    assert.equal(await child.ended, 0);
    assert.match(child.log(), /stopped\n$/);
    const entries = await rows(database.pool, `select from inbox.entries where message_id = 'transfer-last'`);
    assert.equal(entries.length, 1);
  });

  for (const [what, env, message] of [
    ['DATABASE_URL is missing', () => ({ DATABASE_URL: undefined }), /DATABASE_URL is not set/],
    [
      'PAYMENT_WEBHOOK_SECRET is invalid',
      () => ({ PAYMENT_WEBHOOK_SECRET: 'hunter2' }),
      /standardWebhooks: secret must be whsec_ and the base64 of at least 24 bytes/,
    ],
    ['PORT is invalid', () => ({ PORT: '70000' }), /PORT \("70000"\) is not a valid port/],
    [
      'the inbox’s schema is missing',
      () => ({ DATABASE_URL: empty.url }),
      /lacks migration 0001_inbox\.sql; run `inbox migrate`/,
    ],
  ] as const) {
    it(`explains what to do when ${what}`, async () => {
      const child = start(env());
      assert.equal(await child.ended, 1);
      assert.match(child.log(), message);
      assert.doesNotMatch(child.log(), /hunter2/);
    });
  }
});
