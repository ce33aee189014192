/**
 * An error that a handler forgets, swallows or leaves behind fails its own attempt and nothing else: the worker keeps
 * running.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { listFailures } from '../../../src/store/failures.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';
import { startWorkerProcess } from '../../support/worker-process.ts';
import type { WorkerProcess } from '../../support/worker-process.ts';

const MODULE = '../support/stray-commands.js';

/** Behaviors with the error of their dead letter and the number of failed attempts. */
const failing: Record<string, [RegExp, number]> = {
  'sends an invalid message': [/^InvalidMessageError: messageId /, 1],
  'sends a conflicting message': [/^IdempotencyConflictError: message "taken" was accepted before/, 1],
  'sends a valid message': [/^ForgottenAwait: the handler returned before (send|tx\.query), .* finished/, 2],
  'starts a function that queries': [/^ForgottenAwait: /, 2],
  'queries with a callback': [/^ForgottenAwait: the handler returned before tx\.query finished/, 2],
  'rejects at once': [/^Error: went wrong \(reported as: a promise that the handler/, 2],
  'rejects while it runs': [/^Error: went wrong \(reported as: a promise that the handler/, 2],
  'throws in a callback while it runs': [/^Error: went wrong \(reported as: a callback that the handler/, 2],
  'throws in a callback of a query': [/^Error: went wrong \(reported as: a callback that the handler/, 2],
  'rejects with something final': [/^Broke/, 1],
  'rejects with undefined': [/a promise that the handler did not await was rejected/, 2],
  'catches an invalid message': [/^InvalidMessageError: messageId /, 1],
  'catches a conflict and throws': [/^IdempotencyConflictError: /, 1],
  'catches an invalid event': [/^InvalidEvent: emit\(T\): /, 1],
};

const afterwards: Record<string, RegExp> = {
  'rejects afterwards': /a promise that the handler did not await was rejected, after its attempt ended/,
  'throws in a callback afterwards': /a callback that the handler started threw, after its attempt ended/,
  'emits afterwards': /a callback that the handler started threw, after its attempt ended/,
  'queries afterwards': /a promise that the handler did not await was rejected, after its attempt ended/,
};

/** With workflows in the main thread, the SDK would handle all unhandled rejections of the process. */
const AS_IN_PRODUCTION = { TEMPORAL_DEBUG: '' };

describe('a handler that', () => {
  let inbox: TestInbox;
  let worker: WorkerProcess;
  let alive = true;

  before(async () => {
    inbox = await createTestInbox();
    worker = await startWorkerProcess(inbox, MODULE, AS_IN_PRODUCTION);
    void worker.ended.then(() => (alive = false));
    await inbox.pool.query(`select inbox.send('taken', 'Stray', '{"behavior": "works"}')`);
    await inbox.reaches('taken', 'Completed');
  });
  after(async () => {
    worker.kill('SIGTERM');
    await worker.ended;
    await inbox.close();
  });

  async function send(commandType: string, behavior: string): Promise<string> {
    const messageId = inbox.id(`${commandType}-${behavior}`);
    const payload = JSON.stringify({ behavior });
    await inbox.pool.query('select inbox.send($1, $2, $3)', [messageId, commandType, payload]);
    return messageId;
  }

  for (const commandType of ['Stray', 'StrayExpress']) {
    for (const [behavior, [error, attempts]] of Object.entries(failing)) {
      it(`${behavior} fails its own attempt and nothing else (${commandType})`, async () => {
        const messageId = await send(commandType, behavior);
        const entry = await inbox.reaches(messageId, 'DeadLetter');
        assert.match(entry.error!, error);
        assert.equal((await listFailures(inbox.pool, messageId)).length, attempts);
        assert.equal(await inbox.entry(`${messageId}-next`), null);
        assert.equal(alive, true);
      });
    }

    for (const [behavior, line] of Object.entries(afterwards)) {
      it(`${behavior} completes, and the error is logged (${commandType})`, async () => {
        const messageId = await send(commandType, behavior);
        await inbox.reaches(messageId, 'Completed');
        const logged = await eventually('the error is logged', () =>
          worker
            .log()
            .split('\n')
            .find((text) => line.test(text) && text.includes(messageId)),
        );
        assert.match(logged, / ERROR /);
        assert.ok(!logged.includes('went wrong'), 'the message of an error may contain parts of the payload');
        assert.equal(alive, true);
        const late = `select from inbox.outbox where message_id = $1 and type = 'Late'`;
        assert.deepEqual(await rows(inbox.pool, late, [messageId]), []);
      });
    }
  }

  for (const behavior of [
    'rejects at once',
    'rejects while it runs',
    'throws in a callback while it runs',
    'rejects with something final',
    'rejects with undefined',
  ]) {
    it(`${behavior} in its prepare fails its own attempt and nothing else`, async () => {
      const entry = await inbox.reaches(await send('StrayPrepare', behavior), 'DeadLetter');
      const [error, attempts] = failing[behavior]!;
      assert.match(entry.error!, error);
      assert.equal(entry.attempt, attempts);
      assert.equal(alive, true);
    });
  }

  it('works is not affected by the others', async () => {
    await inbox.reaches(await send('Stray', 'works'), 'Completed');
    await inbox.reaches(await send('StrayExpress', 'works'), 'Completed');
    assert.equal(alive, true);
  });
});

describe('an unhandled error outside of handlers', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
  });
  after(() => inbox.close());

  let count = 0;
  /** Raises the error after an attempt, when the inbox's listeners are installed. */
  async function afterAnAttempt(env: Record<string, string>): Promise<WorkerProcess> {
    const worker = await startWorkerProcess(inbox, MODULE, { ...AS_IN_PRODUCTION, ...env });
    const messageId = inbox.id(`first-${(count += 1)}`);
    await inbox.pool.query('select inbox.send($1, $2, $3)', [messageId, 'Stray', '{"behavior": "works"}']);
    await inbox.reaches(messageId, 'Completed');
    worker.kill('SIGUSR2');
    return worker;
  }

  for (const kind of ['rejection', 'exception']) {
    it(`ends the process and is printed, as without the inbox: ${kind}`, async () => {
      const worker = await afterAnAttempt({ FOREIGN_ERROR: kind });
      await worker.ended;
      assert.match(worker.log(), /Error: went wrong\n\s+at /);
    });

    it(`is left to the process’s own listeners: ${kind}`, async () => {
      const worker = await afterAnAttempt({ FOREIGN_ERROR: kind, OWN_LISTENER: 'yes' });
      await eventually('the process’s own listener was called', () => worker.log().includes('own listener'));
      await inbox.pool.query('select inbox.send($1, $2, $3)', [
        inbox.id(kind),
        'Stray',
        '{"behavior": "works"}',
      ]);
      await inbox.reaches(inbox.id(kind), 'Completed');
      worker.kill('SIGTERM');
      await worker.ended;
    });
  }
});
