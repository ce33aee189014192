import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { listDeadLetters } from '../../src/store/dead-letters.ts';
import { listFailures } from '../../src/store/failures.ts';
import { createTestInbox, rows } from '../support/inbox.ts';
import type { TestInbox } from '../support/inbox.ts';
import { eventually } from '../support/wait.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import type { WorkerProcess } from '../support/worker-process.ts';

const MODULE = './crash-commands.js';

describe('a worker that is killed', () => {
  let inbox: TestInbox;
  const processes: WorkerProcess[] = [];

  before(async () => {
    inbox = await createTestInbox();
    await inbox.pool.query('create table effects (message_id text)');
    await inbox.pool.query('create table told (message_id text, pid integer)');
  });
  after(async () => {
    for (const worker of processes) worker.kill('SIGKILL');
    await Promise.all(processes.map((worker) => worker.ended));
    await inbox.close();
  });

  async function startWorker(): Promise<WorkerProcess> {
    const started = await startWorkerProcess(inbox, MODULE);
    processes.push(started);
    return started;
  }

  const inHandler = (messageId: string) =>
    eventually(`${messageId} is in its handler`, async () => {
      const found = await rows(inbox.pool, 'select from told where message_id = $1', [messageId]);
      return found.length > 0;
    });
  const effectsOf = (messageId: string) =>
    rows(inbox.pool, 'select from effects where message_id = $1', [messageId]);

  it('between claim and commit leaves no effects, and the next worker runs attempt 2', async () => {
    const first = await startWorker();
    const messageId = inbox.id('in-handler');
    const handle = await inbox.start(messageId, { commandType: 'WaitInHandler', payload: {} });
    await inHandler(messageId);
    first.kill('SIGKILL');
    await first.ended;
    const second = await startWorker();

    assert.equal(await handle.result(), 2);
    assert.equal((await effectsOf(messageId)).length, 1);
    const failures = await listFailures(inbox.pool, messageId);
    assert.deepEqual(
      failures.map(({ attempt, errorType }) => ({ attempt, errorType })),
      [{ attempt: 1, errorType: 'WorkerLost' }],
    );
    second.kill('SIGKILL');
    await second.ended;
  });

  it('after its commit has done the work once, and the next worker returns the stored result', async () => {
    const first = await startWorker();
    const messageId = inbox.id('committed');
    const handle = await inbox.start(messageId, { commandType: 'DieOnceCommitted', payload: {} });
    await first.ended;
    assert.equal((await inbox.entry(messageId))?.status, 'Completed');
    const second = await startWorker();

    assert.equal(await handle.result(), 'committed');
    assert.equal((await effectsOf(messageId)).length, 1);
    assert.equal((await inbox.entry(messageId))?.attempt, 1);
    assert.deepEqual(await listFailures(inbox.pool, messageId), []);
    second.kill('SIGKILL');
    await second.ended;
  });

  it('by the command itself at every attempt makes the command a dead letter', async () => {
    const messageId = inbox.id('poison');
    await inbox.start(messageId, { commandType: 'Poison', payload: {} });
    for (let started = 1; (await inbox.entry(messageId))?.status !== 'DeadLetter'; started += 1) {
      assert.ok(started <= 3, 'two workers for two attempts, and one that finds the second attempt lost');
      const current = await startWorker();
      await Promise.race([current.ended, inbox.reaches(messageId, 'DeadLetter')]);
    }
    const [letter] = await listDeadLetters(inbox.pool, messageId);
    assert.equal(letter!.errorType, 'WorkerLost');
    assert.equal(letter!.reason, 'exhausted');
    for (const each of processes) each.kill('SIGKILL');
    await Promise.all(processes.map((each) => each.ended));
  });

  it('only by SIGSTOP changes nothing when it continues after another worker has taken over', async () => {
    const zombie = await startWorker();
    const messageId = inbox.id('zombie');
    const handle = await inbox.start(messageId, { commandType: 'WaitInHandler', payload: {} });
    await inHandler(messageId);
    zombie.kill('SIGSTOP');
    const successor = await startWorker();

    assert.equal(await handle.result(), 2);
    zombie.kill('SIGCONT');
    // The zombie's own timer fires at once, and the zombie tries to record a Timeout for attempt 1.
    await eventually('the zombie has no open transaction', async () => {
      const open = await rows(
        inbox.pool,
        `select from pg_stat_activity where datname = current_database() and application_name = 'inbox attempts'
         and state like 'idle in transaction%'`,
      );
      return open.length === 0;
    });
    assert.equal((await effectsOf(messageId)).length, 1);
    const entry = await inbox.entry(messageId);
    assert.equal(entry?.status, 'Completed');
    assert.equal((await listFailures(inbox.pool, messageId)).length, 1);
    zombie.kill('SIGKILL');
    successor.kill('SIGKILL');
    await Promise.all([zombie.ended, successor.ended]);
  });

  it('with SIGTERM finishes its running attempts', async () => {
    const stopping = await startWorker();
    const messageId = inbox.id('drained');
    await inbox.start(messageId, { commandType: 'Slow', payload: {} });
    await inHandler(messageId);
    stopping.kill('SIGTERM');
    await stopping.ended;
    assert.equal((await inbox.entry(messageId))?.status, 'Completed');
    assert.match(stopping.log(), /worker stopped/);
  });
});
