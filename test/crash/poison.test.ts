import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { listDeadLetters } from '../../src/store/dead-letters.ts';
import { listFailures } from '../../src/store/failures.ts';
import { startCli } from '../support/cli.ts';
import type { CliEnvironment, CliProcess } from '../support/cli.ts';
import { createTestInbox, rows } from '../support/inbox.ts';
import type { TestInbox } from '../support/inbox.ts';
import { eventually } from '../support/wait.ts';

const COMMANDS = fileURLToPath(new URL('../support/poison-commands.js', import.meta.url));

describe('inbox worker --supervise', () => {
  let inbox: TestInbox;
  const supervisors: CliProcess[] = [];

  before(async () => {
    inbox = await createTestInbox();
    await inbox.pool.query('create table effects (message_id text)');
  });
  after(async () => {
    for (const supervisor of supervisors) supervisor.kill('SIGKILL');
    await Promise.all(supervisors.map(({ result }) => result));
    await inbox.close();
  });

  /** Its result is there when nobody holds its stderr any more: neither the supervisor nor a worker of its. */
  function supervise(more: CliEnvironment = {}, module = COMMANDS): CliProcess {
    const env = { DATABASE_URL: inbox.database.url, INBOX_TASK_QUEUE: inbox.taskQueue, ...more };
    const supervisor = startCli(['worker', module, '--supervise'], env);
    supervisors.push(supervisor);
    return supervisor;
  }

  async function startNeighbours(name: string, count: number): Promise<string[]> {
    const ids = Array.from({ length: count }, (_, index) => inbox.id(`${name}-${index}`));
    await Promise.all(ids.map((id) => inbox.start(id, { commandType: 'Harmless', payload: {} })));
    return ids;
  }

  const effectsOf = (messageId: string) =>
    rows(inbox.pool, 'select from effects where message_id = $1', [messageId]);

  describe('with a command', () => {
    let supervisor: CliProcess;
    before(async () => {
      // A small heap is full soon.
      supervisor = supervise({ INBOX_WATCHDOG: '3s', NODE_OPTIONS: '--max-old-space-size=160' });
      await supervisor.says(/worker started/);
    });
    after(async () => {
      supervisor.kill('SIGTERM');
      assert.equal((await supervisor.result).code, 0);
    });

    for (const [what, commandType, why] of [
      ['calls process.exit', 'Exits', 'exit code 3'],
      ['runs out of memory', 'EatsMemory', 'SIGABRT'],
      ['never yields', 'NeverYields', 'killed by the watchdog: its event loop stood still for 3 s'],
    ] as const) {
      it(`that ${what} makes a dead letter of it, completes its neighbours once, and is back`, async () => {
        const log = supervisor.stderr().length;
        const messageId = inbox.id(commandType);
        const neighbours = await startNeighbours(`${commandType}-before`, 5);
        await inbox.start(messageId, { commandType, payload: {} });
        neighbours.push(...(await startNeighbours(`${commandType}-after`, 5)));

        await inbox.reaches(messageId, 'DeadLetter');
        const [letter] = await listDeadLetters(inbox.pool, messageId);
        assert.deepEqual([letter?.errorType, letter?.reason], ['WorkerLost', 'exhausted']);
        assert.deepEqual(
          (await listFailures(inbox.pool, messageId)).map(({ attempt, errorType }) => [attempt, errorType]),
          [
            [1, 'WorkerLost'],
            [2, 'WorkerLost'],
          ],
        );
        neighbours.push(...(await startNeighbours(`${commandType}-later`, 1)));
        for (const neighbour of neighbours) {
          await inbox.reaches(neighbour, 'Completed');
          assert.equal((await effectsOf(neighbour)).length, 1, neighbour);
        }
        const restarts = supervisor
          .stderr()
          .slice(log)
          .split('\n')
          .filter((line) => line.includes('ended unasked'));
        assert.equal(restarts.length, 2, restarts.join('\n'));
        for (const line of restarts) assert.ok(line.includes(why), line);
      });
    }
  });

  it('drains on SIGTERM, and ends as its worker does', async () => {
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

  it('leaves no worker behind when it is killed itself', async () => {
    const supervisor = supervise();
    await supervisor.says(/worker started/);
    supervisor.kill('SIGKILL');
    const { code, stderr } = await supervisor.result;
    assert.equal(code, 'SIGKILL');
    assert.match(stderr, /worker stopped\n$/, 'it had the time to drain');
  });

  for (const [what, env, module, problem] of [
    ['a setting is missing', { DATABASE_URL: undefined }, COMMANDS, /inbox: DATABASE_URL is not set/],
    ['its module is not there', {}, `${COMMANDS}.missing`, /missing could not be loaded/],
    ['a setting of its own is wrong', { INBOX_WATCHDOG: 'soon' }, COMMANDS, /INBOX_WATCHDOG/],
  ] as const) {
    it(`ends at once, with exit code 1, when ${what}`, async () => {
      const { code, stderr } = await supervise(env, module).result;
      assert.equal(code, 1);
      assert.match(stderr, problem);
      assert.doesNotMatch(stderr, /ended unasked/);
    });
  }

  for (const [server, env] of [
    ['Temporal', { TEMPORAL_ADDRESS: '127.0.0.1:1' }],
    ['Postgres', { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' }],
  ] as const) {
    it(`tries again when ${server} is away at its start, until it is told to stop`, async () => {
      const supervisor = supervise(env);
      await supervisor.says(/why="exit code 1" inMs=500\n[^]*why="exit code 1" inMs=1000\n/);
      supervisor.kill('SIGTERM');
      const { code } = await supervisor.result;
      assert.ok(code === 0 || code === 143, `between two workers, or one that starts: ${code}`);
    });
  }

  // The last one: the attempt that it leaves behind would be the next worker's.
  it('leaves no worker behind that hears of nothing any more', async () => {
    const supervisor = supervise({ INBOX_WATCHDOG: '0', INBOX_SHUTDOWN_GRACE: '100ms' });
    await supervisor.says(/worker started/);
    const messageId = inbox.id('orphan');
    await inbox.start(messageId, { commandType: 'NeverYields', payload: {} });
    await inbox.reaches(messageId, 'Processing');
    supervisor.kill('SIGKILL');
    const { stderr } = await supervisor.result;
    assert.doesNotMatch(stderr, /worker stopped/);
    await eventually('its connections are gone too', async () => {
      const open = await rows(
        inbox.pool,
        "select from pg_stat_activity where datname = current_database() and application_name like 'inbox attempts'",
      );
      return open.length === 0;
    });
  });
});
