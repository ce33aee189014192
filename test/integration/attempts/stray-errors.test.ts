/**
 * What a handler forgets, swallows or leaves behind fails its attempt and nothing else: the worker goes on.
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

/** Each with the error of its dead letter, and the attempts until then. */
const failing: Record<string, [RegExp, number]> = {
  'sends an invalid message': [/^InvalidMessageError: messageId /, 1],
  'sends a conflicting message': [/^IdempotencyConflictError: message "taken" was accepted before/, 1],
  'sends a valid message': [
    /^ForgottenAwait: the handler returned while (send|tx\.query), .* had not ended/,
    2,
  ],
  'starts a function that queries': [/^ForgottenAwait: /, 2],
  'queries with a callback': [/^ForgottenAwait: the handler returned while tx\.query had not ended/, 2],
  'rejects at once': [/^Error: went wrong \(reported as: the handler left a promise behind/, 2],
  'rejects while it runs': [/^Error: went wrong \(reported as: the handler left a promise behind/, 2],
  'throws in a callback while it runs': [/^Error: went wrong \(reported as: a callback that the handler/, 2],
  'throws in a callback of a query': [/^Error: went wrong \(reported as: a callback that the handler/, 2],
  'rejects with something final': [/^Broke/, 1],
  'rejects with undefined': [/the handler left a promise behind that was rejected/, 2],
  'catches an invalid message': [/^InvalidMessageError: messageId /, 1],
  'catches a conflict and throws': [/^IdempotencyConflictError: /, 1],
  'catches an invalid event': [/^InvalidEvent: emit\(T\): /, 1],
};

const afterwards: Record<string, RegExp> = {
  'rejects afterwards': /the handler left a promise behind that was rejected, after its attempt had ended/,
  'throws in a callback afterwards':
    /a callback that the handler left behind threw, after its attempt had ended/,
  'emits afterwards': /a callback that the handler left behind threw, after its attempt had ended/,
  'queries afterwards': /the handler left a promise behind that was rejected, after its attempt had ended/,
};

/** Workflows in the main thread would have the SDK handle the unhandled rejections of the whole process. */
const AS_IN_PRODUCTION = { TEMPORAL_DEBUG: '' };

describe('a handler that', () => {
  let inbox: TestInbox;
  let worker: WorkerProcess;
  let alive = true;

  before(async () => {
    inbox = await createTestInbox();
    worker = await startWorkerProcess(inbox, MODULE, AS_IN_PRODUCTION);
    void worker.ended.then(() => (alive = false));
    await inbox.pool.query(`select inbox.send('taken', 'Stray', '{"behaviour": "works"}')`);
    await inbox.reaches('taken', 'Completed');
  });
  after(async () => {
    worker.kill('SIGTERM');
    await worker.ended;
    await inbox.close();
  });

  async function send(commandType: string, behaviour: string): Promise<string> {
    const messageId = inbox.id(`${commandType}-${behaviour}`);
    const payload = JSON.stringify({ behaviour });
    await inbox.pool.query('select inbox.send($1, $2, $3)', [messageId, commandType, payload]);
    return messageId;
  }

  for (const commandType of ['Stray', 'StrayExpress']) {
    for (const [behaviour, [error, attempts]] of Object.entries(failing)) {
      it(`${behaviour} fails that attempt and nothing else (${commandType})`, async () => {
        const messageId = await send(commandType, behaviour);
        const entry = await inbox.reaches(messageId, 'DeadLetter');
        assert.match(entry.error!, error);
        assert.equal((await listFailures(inbox.pool, messageId)).length, attempts);
        assert.equal(await inbox.entry(`${messageId}-next`), null);
        assert.equal(alive, true);
      });
    }

    for (const [behaviour, line] of Object.entries(afterwards)) {
      it(`${behaviour} has completed, and its error is logged (${commandType})`, async () => {
        const messageId = await send(commandType, behaviour);
        await inbox.reaches(messageId, 'Completed');
        const logged = await eventually('the error is logged', () =>
          worker
            .log()
            .split('\n')
            .find((text) => line.test(text) && text.includes(messageId)),
        );
        assert.match(logged, / ERROR /);
        assert.ok(!logged.includes('went wrong'), 'the message of an error may hold what was in the payload');
        assert.equal(alive, true);
        const late = `select from inbox.outbox where message_id = $1 and type = 'Late'`;
        assert.deepEqual(await rows(inbox.pool, late, [messageId]), []);
      });
    }
  }

  it('works is not disturbed by any of them', async () => {
    await inbox.reaches(await send('Stray', 'works'), 'Completed');
    await inbox.reaches(await send('StrayExpress', 'works'), 'Completed');
    assert.equal(alive, true);
  });
});

describe('an error that is no handler’s', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
  });
  after(() => inbox.close());

  let count = 0;
  /** After an attempt, so that the listeners are there. */
  async function afterAnAttempt(env: Record<string, string>): Promise<WorkerProcess> {
    const worker = await startWorkerProcess(inbox, MODULE, { ...AS_IN_PRODUCTION, ...env });
    const messageId = inbox.id(`first-${(count += 1)}`);
    await inbox.pool.query('select inbox.send($1, $2, $3)', [messageId, 'Stray', '{"behaviour": "works"}']);
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

    it(`is left to the listeners that there are: ${kind}`, async () => {
      const worker = await afterAnAttempt({ FOREIGN_ERROR: kind, OWN_LISTENER: 'yes' });
      await eventually('the listener was told', () => worker.log().includes('own listener'));
      await inbox.pool.query('select inbox.send($1, $2, $3)', [
        inbox.id(kind),
        'Stray',
        '{"behaviour": "works"}',
      ]);
      await inbox.reaches(inbox.id(kind), 'Completed');
      worker.kill('SIGTERM');
      await worker.ended;
    });
  }
});
