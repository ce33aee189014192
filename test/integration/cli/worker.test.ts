import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import type { PoolClient } from 'pg';
import { listFailures } from '../../../src/store/failures.ts';
import { HELD_LOCK } from '../../support/cli-commands.ts';
import { startCli } from '../../support/cli.ts';
import type { CliEnvironment, CliProcess } from '../../support/cli.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { parseSamples, sumOf } from '../../support/samples.ts';
import { eventually } from '../../support/wait.ts';

const COMMANDS = fileURLToPath(new URL('../../support/cli-commands.js', import.meta.url));
const DRAINING = /Worker state changed[\s\S]*Worker state changed/;

const pollsNoMore = (worker: CliProcess) =>
  eventually('the worker polls no more', async () => {
    const address = /serving .* address=(\S+)/.exec(worker.stderr())![1]!;
    const metrics = await (await fetch(`${address}/metrics`)).text();
    return sumOf(parseSamples(metrics), 'temporal_num_pollers') === 0;
  });

describe('inbox worker', () => {
  let inbox: TestInbox;
  let env: CliEnvironment;
  let folder: string;
  /** This connection holds the lock that the command `Held` waits for. */
  let holder: PoolClient;
  const workers: CliProcess[] = [];

  before(async () => {
    inbox = await createTestInbox();
    folder = await mkdtemp(join(tmpdir(), 'inbox-cli-worker-'));
    env = { DATABASE_URL: inbox.database.url, INBOX_TASK_QUEUE: inbox.taskQueue };
    holder = await inbox.pool.connect();
  });
  after(async () => {
    for (const worker of workers) worker.kill('SIGKILL');
    await Promise.all(workers.map(({ result }) => result));
    holder.release();
    await rm(folder, { recursive: true });
    await inbox.close();
  });

  /** Starts a worker with the SDK's log on stderr, and waits until it is ready. */
  async function startWorker(more: CliEnvironment = {}, flags: string[] = []): Promise<CliProcess> {
    const worker = startCli(['worker', COMMANDS, ...flags], { ...env, INBOX_LOG_LEVEL: 'debug', ...more });
    workers.push(worker);
    await worker.says(/worker started commands="Held,Quick"/);
    return worker;
  }

  /** Starts `Held`, and waits until its handler is waiting for the lock. */
  async function startHeld(name: string): Promise<string> {
    await holder.query('select pg_advisory_lock($1)', [HELD_LOCK]);
    const messageId = inbox.id(name);
    await inbox.start(messageId, { commandType: 'Held', payload: {} });
    await eventually('the handler waits for the lock', async () => {
      const waiting = await rows(
        inbox.pool,
        `select from pg_locks where locktype = 'advisory' and objid = $1 and not granted
         and database = (select oid from pg_database where datname = current_database())`,
        [HELD_LOCK],
      );
      return waiting.length === 1;
    });
    return messageId;
  }

  const releaseLock = () => holder.query('select pg_advisory_unlock($1)', [HELD_LOCK]);

  const processing = () =>
    rows(inbox.pool, "select message_id from inbox.entries where status = 'Processing'");

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`finishes the running attempt on ${signal}, starts no other, and exits with 0`, async () => {
      const worker = await startWorker({}, ['--http', '0']);
      const messageId = await startHeld(signal);
      const stopping = worker.stderr().length;
      worker.kill(signal);
      await eventually('the worker drains', () =>
        /Worker state changed/.test(worker.stderr().slice(stopping)),
      );
      // A poll that the server has not ended yet may still bring work.
      await pollsNoMore(worker);
      const late = inbox.id(`${signal}-late`);
      await inbox.start(late, { commandType: 'Quick', payload: {} });
      await releaseLock();

      const { code, stdout, stderr } = await worker.result;
      assert.equal(code, 0, stderr);
      assert.equal(stdout, '', 'logs go to stderr');
      assert.match(stderr, DRAINING);
      assert.match(stderr, /worker stopped\n$/);
      const entry = await inbox.entry(messageId);
      assert.deepEqual([entry?.status, entry?.attempt, entry?.result], ['Completed', 1, 'was let go']);
      assert.deepEqual(await listFailures(inbox.pool, messageId), []);
      assert.deepEqual(await processing(), []);
      assert.equal(await inbox.entry(late), null, 'commands after the signal are left to the next worker');
    });
  }

  it('returns an attempt that exceeds the grace time without counting it, and leaves nothing Processing', async () => {
    const worker = await startWorker({ INBOX_SHUTDOWN_GRACE: '100ms' });
    const messageId = await startHeld('graceless');
    worker.kill('SIGTERM');
    const { code, stderr } = await worker.result;
    await releaseLock();

    assert.equal(code, 0, stderr);
    const entry = await inbox.entry(messageId);
    assert.deepEqual([entry?.status, entry?.retryCount], ['Pending', 0]);
    assert.deepEqual(await listFailures(inbox.pool, messageId), []);
    assert.deepEqual(await processing(), []);
    const locks = await rows(
      inbox.pool,
      "select from pg_stat_activity where application_name = 'inbox attempts' and datname = current_database()",
    );
    assert.deepEqual(locks, [], 'its transaction has ended');
  });

  it('continues the work that the previous worker left', async () => {
    const worker = await startWorker();
    for (const name of ['SIGTERM-late', 'SIGINT-late', 'graceless']) {
      await inbox.reaches(inbox.id(name), 'Completed');
    }
    worker.kill('SIGTERM');
    assert.equal((await worker.result).code, 0);
  });

  for (const [name, text, message] of [
    ['has a syntax error', 'export const x = ;', /could not be loaded/],
    ['throws', 'throw new Error("at load")', /could not be loaded: at load/],
    [
      'has no command',
      'export const x = 1; export default []',
      /exports no command; export what defineCommand/,
    ],
    [
      'has a command twice',
      `import { quick } from '${COMMANDS}'; export const a = quick, b = { ...quick };`,
      /command "Quick": is declared twice/,
    ],
    [
      'has a command with invalid settings',
      `import { quick } from '${COMMANDS}'; export default [{ ...quick, retry: { maximumAttempts: 0 } }];`,
      /command "Quick": retry\.maximumAttempts: must be at least 1/,
    ],
  ] as const) {
    it(`refuses a module that ${name}, with exit code 1`, async () => {
      const path = join(folder, `${name.replaceAll(' ', '-')}.mjs`);
      await writeFile(path, text);
      const { code, stdout, stderr } = await startCli(['worker', path], env).result;
      assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /\n\s+at /, 'no stack trace');
    });
  }

  it('refuses a module that does not exist', async () => {
    const { code, stderr } = await startCli(['worker', join(folder, 'missing.mjs')], env).result;
    assert.equal(code, 1);
    assert.match(stderr, /missing\.mjs could not be loaded: Cannot find module/);
  });
});
