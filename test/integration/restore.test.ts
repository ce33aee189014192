import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../src/command.ts';
import { NotADeadLetterError, UnrecoverableError } from '../../src/errors.ts';
import { discard, replay, restore } from '../../src/operations.ts';
import { listDeadLetters } from '../../src/store/dead-letters.ts';
import { listAudit } from '../../src/store/reports.ts';
import { createTestInbox } from '../support/inbox.ts';
import type { TestInbox } from '../support/inbox.ts';
import { eventually } from '../support/wait.ts';

const once = defineCommand({
  type: 'Once',
  schema: z.object({}),
  async handle({ generation }) {
    if (generation === 0) throw new UnrecoverableError('NotYet');
    return 'done';
  },
});

describe('restore', () => {
  let fixture: TestInbox;
  const operator = () => ({ ...fixture, searchAttributes: false });

  before(async () => {
    fixture = await createTestInbox();
    await fixture.startWorker([once]);
  });
  after(() => fixture.close());

  async function discarded(name: string): Promise<string> {
    const id = fixture.id(name);
    await fixture.start(id, { commandType: 'Once', payload: {} });
    await fixture.reaches(id, 'DeadLetter');
    await discard(operator(), id, { actor: 'ann', reason: 'a mistake' });
    return id;
  }

  it('opens a discarded dead letter again: it waits in its workflow, and can be replayed', async () => {
    const id = await discarded('restored');
    assert.equal(await restore(operator(), id, { actor: 'bob', reason: 'it was none' }), 'done');
    const [letter] = await listDeadLetters(fixture.pool, id);
    assert.deepEqual([letter!.resolution, letter!.resolvedBy, letter!.resolvedAt], [null, null, null]);
    await eventually('its workflow waits', async () => {
      const { status } = await fixture.client.workflow.getHandle(id).describe();
      return status.name === 'RUNNING' && (await fixture.status(id)).status === 'DeadLetter';
    });
    assert.equal(await replay(operator(), id, { actor: 'bob' }), 'done');
    assert.equal((await fixture.reaches(id, 'Completed')).result, 'done');
    const audit = await listAudit(fixture.pool, id);
    assert.deepEqual(
      audit.map(({ action, actor, reason }) => [action, actor, reason]),
      [
        ['discard', 'ann', 'a mistake'],
        ['restore', 'bob', 'it was none'],
        ['replay', 'bob', null],
      ],
    );
    assert.equal(audit[1]!.details['discardedBy'], 'ann');
    assert.equal(audit[1]!.details['discardedBecause'], 'a mistake');
  });

  it('is done once, however often it is asked for at once', async () => {
    const id = await discarded('at-once');
    const answers = await Promise.allSettled(Array.from({ length: 20 }, () => restore(operator(), id)));
    assert.equal(answers.filter(({ status }) => status === 'fulfilled').length, 1);
    assert.equal((await listAudit(fixture.pool, id)).filter(({ action }) => action === 'restore').length, 1);
  });

  it('can be discarded again', async () => {
    const id = await discarded('again');
    await restore(operator(), id);
    assert.equal(await discard(operator(), id, { actor: 'cat' }), 'done');
    assert.equal((await listDeadLetters(fixture.pool, id))[0]!.resolvedBy, 'cat');
  });

  it('refuses what is no discarded dead letter, and what was pruned', async () => {
    const open = fixture.id('open');
    await fixture.start(open, { commandType: 'Once', payload: {} });
    await fixture.reaches(open, 'DeadLetter');
    await assert.rejects(restore(operator(), open), (error: Error) => {
      assert.ok(error instanceof NotADeadLetterError);
      return /is an open dead letter; nothing was changed/.test(error.message);
    });
    await replay(operator(), open);
    await fixture.reaches(open, 'Completed');
    await assert.rejects(restore(operator(), open), /is Completed, not a discarded dead letter/);
    const pruned = await discarded('pruned');
    await fixture.pool.query(
      `update inbox.dead_letters set pruned_at = now(), payload = null, metadata = '{}' where message_id = $1`,
      [pruned],
    );
    await assert.rejects(restore(operator(), pruned), /its payload has been pruned/);
    await assert.rejects(restore(operator(), 'nobody'), /no entry has the message_id "nobody"/);
  });
});
