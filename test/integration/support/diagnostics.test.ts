import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { chooseSeed } from '../../support/choose-seed.ts';
import { createTestInbox } from '../../support/inbox.ts';
import { addDiagnostics, eventually, gate } from '../../support/wait.ts';

const never = () => false;

/** The message of a wait that times out after 50 ms. */
async function failedWait(): Promise<string> {
  return eventually('it never happens', never, 50).then(
    () => assert.fail('the wait succeeded'),
    (error: Error) => error.message,
  );
}

describe('a wait that times out', () => {
  it('reports what it waited for and the last error of the probe', async () => {
    await assert.rejects(
      eventually('the file exists', () => assert.fail('no such file'), 50),
      (error: Error) => {
        assert.equal(error.message, 'timed out after 50 ms waiting for: the file exists');
        assert.match((error.cause as Error).message, /no such file/);
        return true;
      },
    );
  });

  it('shows the rows, the workflows and the last log lines of every open test inbox', async () => {
    const inbox = await createTestInbox();
    const handlerGate = gate();
    const waits = defineCommand({
      type: 'Waits',
      schema: z.object({ secret: z.string() }),
      handle: () => handlerGate.opened,
    });
    const dies = defineCommand({
      type: 'Dies',
      schema: z.object({}),
      handle: () => {
        throw new UnrecoverableError('NoHope');
      },
    });
    try {
      await inbox.startWorker([waits, dies]);
      const [waiting, dead] = [inbox.id('waiting'), inbox.id('dead')];
      await inbox.start(waiting, { commandType: 'Waits', payload: { secret: 'a-canary' } });
      await inbox.start(dead, { commandType: 'Dies', payload: {} });
      await inbox.reaches(waiting, 'Processing');
      await inbox.reaches(dead, 'DeadLetter');
      const message = await failedWait();
      assert.match(
        message,
        new RegExp(`inbox\\.entries.*:\\n(.*\\n)*.*"message_id":"${waiting}".*"status":"Processing"`),
      );
      assert.match(message, new RegExp(`open dead letters:\\n.*"message_id":"${dead}"`));
      assert.match(message, new RegExp(`workflows:\\n.*"workflowId":"${waiting}","status":"RUNNING"`));
      assert.match(message, /log of worker 1:\n.*command is a dead letter/);
      assert.ok(!message.includes('a-canary'), message);
    } finally {
      handlerGate.open();
      await inbox.close();
    }
    const afterClose = await failedWait();
    assert.equal(
      afterClose,
      'timed out after 50 ms waiting for: it never happens',
      'a closed inbox is not described',
    );
  });

  it('shows every source of diagnostics, and the error of one that fails', async () => {
    const removers = [
      addDiagnostics(async () => 'the first source'),
      addDiagnostics(() => Promise.reject(new Error('not readable'))),
    ];
    const message = await failedWait();
    for (const remove of removers) remove();
    assert.equal(
      message,
      'timed out after 50 ms waiting for: it never happens\nthe first source\ndiagnostics: Error: not readable',
    );
  });
});

describe('the seed of random tests', () => {
  it('is fixed in CI and new in every other run', () => {
    assert.equal(chooseSeed({ CI: 'true' }), chooseSeed({ CI: '1' }));
    for (const env of [{}, { CI: 'false' }, { CI: '' }]) {
      assert.notEqual(chooseSeed(env), chooseSeed({ CI: 'true' }));
      assert.ok(Number.isInteger(chooseSeed(env)));
    }
  });

  it('is TEST_SEED if that is set', () => {
    assert.equal(chooseSeed({ TEST_SEED: '42' }), 42);
    assert.equal(chooseSeed({ TEST_SEED: '-7', CI: 'true' }), -7);
    assert.throws(() => chooseSeed({ TEST_SEED: 'x' }), /TEST_SEED is x/);
  });
});
