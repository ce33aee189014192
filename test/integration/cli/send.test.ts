import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { withTransaction } from '../../../src/platform/postgres.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { CliResult } from '../../support/cli.ts';
import { runCli, startCli } from '../../support/cli.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { rows } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const line = (messageId: string, payload: unknown = 1) =>
  JSON.stringify({ messageId, type: 'Quick', payload });

describe('inbox send with only DATABASE_URL', () => {
  let database: TestDatabase;
  /** No Temporal server is configured: `inbox send` only needs Postgres, and a worker's relay starts the commands. */
  const env = () => ({ DATABASE_URL: database.url, TEMPORAL_ADDRESS: undefined, HOME: '/nonexistent' });
  const send = (args: readonly string[], input?: string) => runCli(['send', ...args], env(), input);
  const stored = (prefix: string) =>
    rows<{ message_id: string; payload: unknown }>(
      database.pool,
      'select message_id, payload from inbox.entries where message_id like $1 order by message_id',
      [`${prefix}%`],
    );

  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.drop());

  it('stores a command as Pending, and answers a repeat with duplicate', async () => {
    const args = ['Quick', '--id', 'one', '--payload', '{"a":1}', '--correlation', 'c', '--causation', 'd'];
    assert.deepEqual(await send(args), { code: 0, stdout: 'one accepted\n', stderr: '' });
    assert.deepEqual(await send(args), { code: 0, stdout: 'one duplicate\n', stderr: '' });
    const [entry] = await rows(
      database.pool,
      `select status, correlation_id, causation_id from inbox.entries where message_id = 'one'`,
    );
    assert.deepEqual(entry, { status: 'Pending', correlation_id: 'c', causation_id: 'd' });
  });

  it('sends a thousand lines, skips the invalid ones, and reports them in order', async () => {
    const lines = Array.from({ length: 1_000 }, (_, index) => line(`many-${String(index).padStart(4, '0')}`));
    lines[10] = 'no json';
    lines[250] = '';
    lines[251] = line('many-0000', 'another payload');
    lines[252] = line('many-0001');
    lines[252 + 150] = line(' ');
    lines[999] = line('many-0998', 'another payload');
    const { code, stdout, stderr } = await send(['--file', '-'], lines.join('\n'));
    assert.deepEqual([code, stdout], [1, '994 accepted, 1 duplicate, 4 refused\n']);
    const problems = stderr.trimEnd().split('\n');
    assert.equal(problems.length, 5);
    assert.match(problems[0]!, /^line 11: the line is not JSON/);
    assert.match(problems[1]!, /^line 252: message "many-0000" was accepted before with another/);
    assert.match(problems[2]!, /^line 403: messageId is empty or blank/);
    assert.match(problems[3]!, /^line 1000: message "many-0998" was accepted before with another/);
    assert.match(
      problems[4]!,
      /^inbox: 4 lines were refused; the others were sent \(994 accepted, 1 duplicate\)/,
    );
    const entries = await stored('many-');
    assert.equal(entries.length, 994);
    assert.ok(
      entries.every(({ payload }) => payload === 1),
      'the first of two conflicting commands is kept',
    );
  });

  it('gives the same answers for any number of lines per transaction', async () => {
    const lines = ['a', 'b', 'a', 'b']
      .map((name, index) => line(`few-${name}`, index < 3 ? 1 : 2))
      .join('\n');
    const expected = { accepted: 2, duplicate: 1, refused: 1 };
    for (const concurrency of ['1', '2', '3', '1000']) {
      const input = lines.replaceAll('few-', `few-${concurrency}-`);
      const { stdout, stderr } = await send(['--file', '-', '--json', '--concurrency', concurrency], input);
      assert.deepEqual(JSON.parse(stdout), expected);
      assert.match(stderr, /^\{"file":"-","line":4,"error":\{"name":"IdempotencyConflictError"/);
    }
  });

  it('sends each line of a slow pipe without waiting for more', async () => {
    const main = fileURLToPath(new URL('../../../src/cli/main.js', import.meta.url));
    const child = spawn(process.execPath, [main, 'send', '--file', '-'], {
      env: { ...process.env, ...env() },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let stdout = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    for (const name of ['slow-1', 'slow-2', 'slow-3']) {
      child.stdin.write(`${line(name)}\n`);
      await eventually(`${name} is stored`, async () => (await stored(name)).length === 1);
    }
    child.stdin.end();
    const [code] = (await once(child, 'close')) as [number];
    assert.deepEqual([code, stdout], [0, '3 accepted, 0 duplicate, 0 refused\n']);
  });

  it('recovers from a deadlock with another transaction', async () => {
    const inbox = await createInbox({ pool: database.pool });
    let sending: Promise<CliResult> | undefined;
    await withTransaction(database.pool, async (tx) => {
      // The CLI must be the one that gives way: it finds the deadlock, or reaches its own time limit, first.
      await tx.query(`set local deadlock_timeout = '10min'`);
      await inbox.send({ messageId: 'crossed-b', type: 'Quick', payload: 1 }, { tx });
      sending = startCli(
        ['send', '--file', '-'],
        env(),
        `${line('crossed-z')}\n${line('crossed-a')}\n${line('crossed-b')}\n`,
      ).result;
      await eventually('the CLI waits for crossed-b', async () => {
        const sql = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
        return (await rows(database.pool, sql)).length === 1;
      });
      await inbox.send({ messageId: 'crossed-a', type: 'Quick', payload: 1 }, { tx });
    });
    const { code, stdout, stderr } = await sending!;
    assert.deepEqual([code, stderr], [0, '']);
    // Either side may have stored crossed-a, depending on when the CLI stopped waiting.
    assert.match(stdout, /^(?:1 accepted, 2 duplicate|2 accepted, 1 duplicate), 0 refused\n$/);
    await inbox.close();
  });

  it('reports the database error instead of counts when the database is unreachable', async () => {
    const { code, stdout, stderr } = await startCli(
      ['send', '--file', '-'],
      { ...env(), DATABASE_URL: 'postgres://x@127.0.0.1:1/x' },
      line('lost'),
    ).result;
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^inbox: .*ECONNREFUSED/);
  });

  it('closes its file when the database is unreachable', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'inbox cli send '));
    const path = join(folder, 'one.ndjson');
    await writeFile(path, line('lost'));
    // If the file is left open, garbage collection closes it and prints a warning.
    const script = `
      process.argv.push('send', '--file', ${JSON.stringify(path)});
      const { runCommandLine } = await import(${JSON.stringify(new URL('../../../src/cli/run.js', import.meta.url))});
      await runCommandLine();
      for (let round = 0; round < 5; round += 1) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }`;
    const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '--eval', script], {
      env: { ...process.env, ...env(), DATABASE_URL: 'postgres://x@127.0.0.1:1/x' },
    });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    await once(child, 'close');
    await rm(folder, { recursive: true });
    assert.match(stderr, /^inbox: .*ECONNREFUSED[^\n]*\n$/);
  });
});
