import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { CliEnvironment, CliProcess } from '../support/cli.ts';
import { createTestInbox, rows } from '../support/inbox.ts';
import type { TestInbox } from '../support/inbox.ts';
import { POISON_COMMANDS, startSupervisor } from '../support/supervisor.ts';
import { eventually } from '../support/wait.ts';

describe('inbox worker --supervise', () => {
  let inbox: TestInbox;
  const supervisors: CliProcess[] = [];

  before(async () => {
    inbox = await createTestInbox();
  });
  after(async () => {
    for (const supervisor of supervisors) supervisor.kill('SIGKILL');
    await Promise.all(supervisors.map(({ result }) => result));
    await inbox.close();
  });

  function supervise(env?: CliEnvironment, module?: string): CliProcess {
    const supervisor = startSupervisor(inbox, env, module);
    supervisors.push(supervisor);
    return supervisor;
  }

  it('drains its worker on SIGTERM and exits with the worker’s exit code', async () => {
    const supervisor = supervise();
    await supervisor.says(/worker started/);
    const messageId = inbox.id('drained');
    await inbox.start(messageId, { commandType: 'Slow', payload: {} });
    await inbox.reaches(messageId, 'Processing');
    supervisor.kill('SIGTERM');
    const { code, stderr } = await supervisor.result;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /worker stopped\n$/);
    const entry = await inbox.entry(messageId);
    assert.deepEqual([entry?.status, entry?.attempt], ['Completed', 1]);
  });

  it('leaves no worker behind when the supervisor itself is killed', async () => {
    const supervisor = supervise();
    await supervisor.says(/worker started/);
    supervisor.kill('SIGKILL');
    const { code, stderr } = await supervisor.result;
    assert.equal(code, 'SIGKILL');
    assert.match(stderr, /worker stopped\n$/, 'the worker had time to drain');
  });

  for (const [what, env, module, problem] of [
    ['a setting is missing', { DATABASE_URL: undefined }, POISON_COMMANDS, /inbox: DATABASE_URL is not set/],
    ['its module does not exist', {}, `${POISON_COMMANDS}.missing`, /missing could not be loaded/],
    ['a setting of the supervisor is invalid', { INBOX_WATCHDOG: 'soon' }, POISON_COMMANDS, /INBOX_WATCHDOG/],
  ] as const) {
    it(`exits with code 1 without retrying when ${what}`, async () => {
      const { code, stderr } = await supervise(env, module).result;
      assert.equal(code, 1);
      assert.match(stderr, problem);
      assert.doesNotMatch(stderr, /ended unexpectedly/);
    });
  }

  for (const [server, env, said] of [
    ['Temporal', { TEMPORAL_ADDRESS: '127.0.0.1:1' }, /why="exit code 1" inMs=500\n/],
    [
      'Postgres',
      { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' },
      /why="exit code 1" inMs=500\n[^]*why="exit code 1" inMs=1000\n/,
    ],
  ] as const) {
    it(`restarts its worker while ${server} is down, until it receives SIGTERM`, async () => {
      const supervisor = supervise(env);
      await supervisor.says(said);
      supervisor.kill('SIGTERM');
      const { code } = await supervisor.result;
      assert.ok(code === 0 || code === 143, `exit code between two workers, or while one starts: ${code}`);
    });
  }

  // Must be the last test, because another worker would pick up the attempt that it leaves behind.
  it('leaves no worker behind that blocks its event loop', async () => {
    const supervisor = supervise({ INBOX_WATCHDOG: '0', INBOX_SHUTDOWN_GRACE: '100ms' });
    await supervisor.says(/worker started/);
    const messageId = inbox.id('orphan');
    await inbox.start(messageId, { commandType: 'NeverYields', payload: {} });
    await inbox.reaches(messageId, 'Processing');
    supervisor.kill('SIGKILL');
    const { stderr } = await supervisor.result;
    assert.doesNotMatch(stderr, /worker stopped/);
    await eventually('the worker’s connections are closed', async () => {
      const open = await rows(
        inbox.pool,
        "select from pg_stat_activity where datname = current_database() and application_name like 'inbox attempts'",
      );
      return open.length === 0;
    });
  });
});
