import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { chooseSeed } from '../../support/choose-seed.ts';
import { createTestInbox } from '../../support/inbox.ts';
import { addDiagnostics, eventually, gate } from '../../support/wait.ts';

const never = () => false;

/** What a wait that fails after a moment says. */
async function failedWait(): Promise<string> {
  return eventually('it never comes', never, 50).then(
    () => assert.fail('it came'),
    (error: Error) => error.message,
  );
}

describe('a wait that fails', () => {
  it('says what it waited for, and what the probe threw last', async () => {
    await assert.rejects(
      eventually('the moon', () => assert.fail('no moon'), 50),
      (error: Error) => {
        assert.equal(error.message, 'waited 50 ms in vain: the moon');
        assert.match((error.cause as Error).message, /no moon/);
        return true;
      },
    );
  });

  it('shows the rows, the workflows and the last log lines of the test inboxes there are', async () => {
    const inbox = await createTestInbox();
    const door = gate();
    const waits = defineCommand({
      type: 'Waits',
      schema: z.object({ secret: z.string() }),
      handle: () => door.opened,
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
      door.open();
      await inbox.close();
    }
    assert.equal(await failedWait(), 'waited 50 ms in vain: it never comes', 'a closed inbox is not asked');
  });

  it('shows all sources but those that fail', async () => {
    const remove = [
      addDiagnostics(async () => 'the tide is out'),
      addDiagnostics(() => Promise.reject(new Error('no idea'))),
    ];
    const message = await failedWait();
    for (const one of remove) one();
    assert.equal(
      message,
      'waited 50 ms in vain: it never comes\nthe tide is out\ndiagnostics: Error: no idea',
    );
  });
});

describe('the seed of random tests', () => {
  it('is fixed in CI, and new elsewhere', () => {
    assert.equal(chooseSeed({ CI: 'true' }), chooseSeed({ CI: '1' }));
    for (const env of [{}, { CI: 'false' }, { CI: '' }]) {
      assert.notEqual(chooseSeed(env), chooseSeed({ CI: 'true' }));
      assert.ok(Number.isInteger(chooseSeed(env)));
    }
  });

  it('is the one of TEST_SEED, where it is set', () => {
    assert.equal(chooseSeed({ TEST_SEED: '42' }), 42);
    assert.equal(chooseSeed({ TEST_SEED: '-7', CI: 'true' }), -7);
    assert.throws(() => chooseSeed({ TEST_SEED: 'x' }), /TEST_SEED is x/);
  });
});
