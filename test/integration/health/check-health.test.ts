import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, beforeEach, describe, it } from 'node:test';
import { msToTs } from '@temporalio/common/lib/time.js';
import type { Connection } from '@temporalio/client';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import type { Finding } from '../../../src/health/finding.ts';
import { checkHealth } from '../../../src/health/check-health.ts';
import { lockAttempt } from '../../../src/store/entries.ts';
import { createTestDatabase, truncate } from '../../support/database.ts';
import { noteWorker } from '../../../src/store/workers.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { runCli } from '../../support/cli.ts';
import { startPgBouncer, withoutPgBouncer } from '../../support/pgbouncer.ts';
import type { PoolMode } from '../../support/pgbouncer.ts';
import { resolveLetter, seedCompleted, seedOpen } from '../../support/seed.ts';
import { eventually } from '../../support/wait.ts';

const nothing = defineCommand({ type: 'Nothing', schema: z.object({}), handle() {} });

const SCHEMA = ['database', 'database settings', 'connection', 'schema'];
const DATABASE = [...SCHEMA, 'roles'];
const STUCK = ['pending entries', 'failed entries', 'processing entries', 'records', 'dead letters'];
const ENTRIES = [...STUCK, 'outbox', 'command types', 'vacuum', 'alerts'];
/** The checks that need Temporal alone. `workflows` needs both servers. */
const TEMPORAL_ALONE = ['temporal', 'namespace', 'retention', 'search attributes', 'workers'];
const TEMPORAL = [...TEMPORAL_ALONE, 'workflows'];

const names = (findings: Finding[]) => findings.map(({ name }) => name);
const unhealthy = (findings: Finding[]) => findings.filter(({ ok }) => !ok);

describe('inbox doctor', () => {
  let inbox: TestInbox;
  let env: Record<string, string>;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.startWorker([nothing]);
    env = {
      ...(process.env as Record<string, string>),
      DATABASE_URL: inbox.database.url,
      INBOX_TASK_QUEUE: inbox.taskQueue,
    };
    await eventually('the worker polls', async () => (await runChecks()).every(({ ok }) => ok));
  });
  beforeEach(async () => {
    await truncate(inbox.pool, 'inbox.entries');
    // Registers an idle worker that knows the type of the seeded entries. The row counts as a live worker for half a minute.
    await noteWorker(inbox.pool, '00000000-0000-0000-0000-000000000001', {
      identity: 'idle',
      namespace: 'default',
      taskQueue: 'idle',
      buildId: null,
      commandTypes: ['Seeded'],
    });
  });
  after(() => inbox.close());

  const runChecks = (changed: Record<string, string> = {}) => checkHealth({ env: { ...env, ...changed } });

  it('names the database settings that the inbox overrides', async () => {
    const name = new URL(inbox.database.url).pathname.slice(1);
    await inbox.pool.query(`alter database ${name} set default_transaction_read_only = on`);
    try {
      const settings = (await runChecks()).find((finding) => finding.name === 'database settings')!;
      assert.equal(settings.ok, true);
      assert.match(settings.finding, /overrides default_transaction_read_only = on/);
    } finally {
      await inbox.pool.query(`alter database ${name} reset default_transaction_read_only`);
    }
  });

  it('detects triggers that do not run', async () => {
    const name = new URL(inbox.database.url).pathname.slice(1);
    await inbox.pool.query(`alter database ${name} set session_replication_role = replica`);
    try {
      const [finding] = unhealthy(await runChecks());
      assert.match(finding!.finding, /session_replication_role is replica/);
    } finally {
      await inbox.pool.query(`alter database ${name} reset session_replication_role`);
    }
  });

  for (const poolMode of ['session', 'transaction'] satisfies PoolMode[]) {
    it(
      `detects a pooler in ${poolMode} mode and checks whether LISTEN works`,
      { skip: withoutPgBouncer },
      async () => {
        const bouncer = await startPgBouncer(inbox.database.url, { poolMode });
        const connection = async (changed: Record<string, string> = {}) =>
          (await runChecks({ DATABASE_URL: bouncer.url, ...changed })).find(
            ({ name }) => name === 'connection',
          )!;
        try {
          const { ok, finding, remedy } = await connection();
          assert.equal(ok, poolMode === 'session');
          assert.match(finding, new RegExp(`through a pooler in ${poolMode} mode`));
          if (!ok) assert.match(remedy!, /INBOX_DIRECT_URL/);
          const direct = await connection({ INBOX_DIRECT_URL: inbox.database.url });
          assert.equal(direct.ok, true);
          assert.match(direct.finding, /over INBOX_DIRECT_URL/);
        } finally {
          await bouncer.stop();
        }
      },
    );
  }

  it('reports no problem in a healthy installation', async () => {
    await seedCompleted(inbox.pool, 'done', { days: 40 });
    const findings = await runChecks();
    assert.deepEqual(names(findings), [...DATABASE, ...ENTRIES, ...TEMPORAL]);
    assert.deepEqual(unhealthy(findings), []);
    const { code, stdout, stderr } = await runCli(['doctor'], env);
    assert.equal(code, 0, stdout + stderr);
    assert.equal(stdout.match(/✓/g)?.length, findings.length);
    assert.doesNotMatch(stdout, /✗|→/);
  });

  it('names the address if Temporal is down, and still checks the database', async () => {
    await seedOpen(inbox.pool, 'stuck', 'Pending', { days: 1 });
    const { code, stdout, stderr } = await runCli(['doctor', '--json'], {
      ...env,
      TEMPORAL_ADDRESS: await closedPort(),
    });
    const findings = JSON.parse(stdout) as Finding[];
    assert.equal(code, 1);
    assert.match(stderr, /unhealthy: pending entries, temporal/);
    assert.deepEqual(names(findings), [...DATABASE, ...ENTRIES, 'temporal']);
    assert.deepEqual(names(unhealthy(findings)), ['pending entries', 'temporal']);
    assert.match(findings.at(-1)!.finding, /no Temporal server answers at 127\.0\.0\.1:\d+/);
    assert.match(findings.at(-1)!.remedy!, /TEMPORAL_ADDRESS/);
  });

  it('reports an unreachable database without its password, and still checks Temporal', async () => {
    const closed = `postgres://someone:s3cret@${await closedPort()}/inbox`;
    for (const [url, says] of [
      [closed, /ECONNREFUSED/],
      ['mysql://someone:s3cret@somewhere/inbox', /postgres:/],
      ['', /DATABASE_URL is not set/],
      [inbox.database.url.replace(/\/[^/]+$/, '/no_such_database'), /no_such_database/],
    ] as const) {
      const findings = await runChecks({ DATABASE_URL: url });
      assert.deepEqual(names(findings), ['database', ...TEMPORAL_ALONE]);
      assert.deepEqual(names(unhealthy(findings)), ['database']);
      assert.match(findings[0]!.finding, says);
      assert.match(findings[0]!.remedy!, /DATABASE_URL/);
      assert.doesNotMatch(JSON.stringify(findings), /s3cret/);
    }
  });

  it('does not wait for servers that accept connections but never answer', async () => {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => sockets.add(socket.on('error', () => {})));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const started = performance.now();
    const findings = await checkHealth({
      env: { ...env, DATABASE_URL: `postgres://someone@${address}/inbox`, TEMPORAL_ADDRESS: address },
      timeoutMs: 500,
    });
    const took = performance.now() - started;
    for (const socket of sockets) socket.destroy();
    silent.close();
    assert.deepEqual(names(unhealthy(findings)), ['database', 'temporal']);
    assert.ok(took < 30_000, `${took} ms`);
  });

  it('detects a database without the schema', async () => {
    const empty = await createTestDatabase('empty');
    const findings = await runChecks({ DATABASE_URL: empty.url });
    await empty.drop();
    assert.deepEqual(names(findings), [...SCHEMA, ...TEMPORAL_ALONE]);
    const [schema] = unhealthy(findings);
    assert.equal(schema!.name, 'schema');
    assert.match(schema!.remedy!, /inbox migrate/);
  });

  it('detects settings that can lose accepted commands', async () => {
    const database = await createTestDatabase();
    const [{ name } = { name: '' }] = (
      await database.pool.query<{ name: string }>('select current_database() as name')
    ).rows;
    await database.pool.query(`alter database ${name} set synchronous_commit = off`);
    const findings = unhealthy(await runChecks({ DATABASE_URL: database.url }));
    await database.drop();
    // The worker on this task queue belongs to another inbox.
    assert.deepEqual(names(findings), ['database settings', 'workers']);
    assert.equal(findings[0]!.finding, 'synchronous_commit is off');
  });

  it('detects a task queue that no worker polls', async () => {
    const [workers] = unhealthy(await runChecks({ INBOX_TASK_QUEUE: `${inbox.taskQueue}-nobody` }));
    assert.equal(workers!.name, 'workers');
    assert.match(workers!.finding, /no worker takes workflow tasks or activities from task queue .*-nobody/);
    assert.match(workers!.remedy!, /inbox worker/);
  });

  it('detects a missing namespace', async () => {
    const findings = await runChecks({ TEMPORAL_NAMESPACE: 'not-there' });
    assert.deepEqual(names(unhealthy(findings)), ['namespace']);
    assert.match(unhealthy(findings)[0]!.remedy!, /namespace create --namespace not-there/);
  });

  it('detects search attributes that are not registered', async () => {
    const namespace = inbox.taskQueue;
    const { connection } = inbox.client;
    await connection.workflowService.registerNamespace({
      namespace,
      workflowExecutionRetentionPeriod: msToTs('1 day'),
    });
    try {
      const missing = await eventually('the server knows the namespace', async () =>
        unhealthy(await runChecks({ TEMPORAL_NAMESPACE: namespace })).find(
          ({ name }) => name === 'search attributes',
        ),
      );
      assert.match(missing.finding, /InboxStatus, CommandType, CorrelationId, FailureGroup/);
      assert.match(missing.remedy!, /inbox setup/);
    } finally {
      await (connection as Connection).operatorService.deleteNamespace({ namespace });
    }
  });

  it('detects stuck entries, names one of them, and reports how long the oldest has been stuck', async () => {
    await seedOpen(inbox.pool, 'stuck one', 'Pending', { days: 3 });
    await seedOpen(inbox.pool, 'stuck-failed', 'Failed', { days: 4 });
    await seedOpen(inbox.pool, 'stuck-processing', 'Processing', { days: 5 });
    await seedCompleted(inbox.pool, 'unrecorded', { days: 7 });
    // Under a lease, so that this worker leaves it alone for now.
    await inbox.pool.query(
      `update inbox.entries set needs_workflow = true, relayed_at = now() where message_id = 'unrecorded'`,
    );
    await seedOpen(inbox.pool, 'stuck-dead', 'DeadLetter', { days: 6 });
    await seedOpen(inbox.pool, 'stuck-dead-too', 'DeadLetter', { days: 5 });
    const findings = unhealthy(await runChecks());
    assert.deepEqual(names(findings), STUCK);
    assert.deepEqual(
      findings.map(({ finding }) => [finding.split(' ')[0], /\d+ days$/.exec(finding)?.[0]]),
      [
        ['1', '3 days'],
        ['1', '4 days'],
        ['1', '5 days'],
        ['1', '7 days'],
        ['2', '6 days'],
      ],
    );
    assert.deepEqual(
      findings.map(({ remedy }) => /inbox show (.+)$/.exec(remedy ?? '')?.[1]),
      [`'stuck one'`, 'stuck-failed', 'stuck-processing', 'unrecorded', 'stuck-dead'],
    );
    const { code, stdout } = await runCli(['doctor'], env);
    assert.equal(code, 1);
    assert.equal(stdout.match(/✗/g)?.length, STUCK.length);
    assert.match(stdout, /→ `inbox dead-letters groups` shows their causes/);
  });

  it('reports no problem with entries that are new, just replayed or discarded', async () => {
    for (const status of ['Pending', 'Processing', 'Failed'] as const) {
      await seedOpen(inbox.pool, `new-${status}`, status, { days: 0 });
    }
    await seedOpen(inbox.pool, 'replayed', 'DeadLetter', { days: 9 });
    await resolveLetter(inbox.pool, 'replayed', 'replayed', 0);
    await seedOpen(inbox.pool, 'discarded', 'DeadLetter', { days: 9 });
    await resolveLetter(inbox.pool, 'discarded', 'discarded', 8);
    assert.deepEqual(unhealthy(await runChecks()), []);
  });

  it('does not report an attempt that is still running after a long time', async () => {
    await seedOpen(inbox.pool, 'long', 'Processing', { days: 1 });
    const attempt = await inbox.pool.connect();
    await attempt.query('begin');
    assert.ok(await lockAttempt(attempt, 'long', 1, 60_000));
    const whileRunning = await runChecks();
    await attempt.query('rollback');
    attempt.release();
    assert.deepEqual(unhealthy(whileRunning), []);
    assert.deepEqual(names(unhealthy(await runChecks())), ['processing entries']);
  });
});

async function closedPort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}
