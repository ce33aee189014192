import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { NotADeadLetterError, UnrecoverableError } from '../../../src/core/errors.ts';
import { discard, replay, restore } from '../../../src/operations/index.ts';
import { listDeadLetters } from '../../../src/store/dead-letters.ts';
import { listAudit } from '../../../src/store/reports.ts';
import { INVARIANTS } from '../../chaos/checker.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { resolveLetter, seedOpen } from '../../support/seed.ts';
import { eventually } from '../../support/wait.ts';

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

  it('opens a discarded dead letter again, which then waits in its workflow and can be replayed', async () => {
    const id = await discarded('restored');
    assert.equal(await restore(operator(), id, { actor: 'bob', reason: 'it was none' }), 'done');
    const [letter] = await listDeadLetters(fixture.pool, id);
    assert.deepEqual([letter!.resolution, letter!.resolvedBy, letter!.resolvedAt], [null, null, null]);
    await eventually('its workflow waits for an operator', async () => {
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

  it('succeeds once for twenty concurrent calls', async () => {
    const id = await discarded('at-once');
    const answers = await Promise.allSettled(Array.from({ length: 20 }, () => restore(operator(), id)));
    assert.equal(answers.filter(({ status }) => status === 'fulfilled').length, 1);
    assert.equal((await listAudit(fixture.pool, id)).filter(({ action }) => action === 'restore').length, 1);
  });

  it('allows another discard', async () => {
    const id = await discarded('again');
    await restore(operator(), id);
    assert.equal(await discard(operator(), id, { actor: 'cat' }), 'done');
    assert.equal((await listDeadLetters(fixture.pool, id))[0]!.resolvedBy, 'cat');
    const { sql } = INVARIANTS.find(({ name }) => name.startsWith('9 '))!;
    const broken = await rows<{ message_id: string }>(fixture.pool, sql);
    assert.ok(!broken.some(({ message_id }) => message_id === id), 'the audit shows each resolution');
  });

  it('leaves a waiting workflow even if the discarded one was still about to end', async () => {
    // Postgres records a discard before its workflow ends, so some of these workflows are still running.
    const ids = Array.from({ length: 20 }, (_, index) => fixture.id(`ending-${index}`));
    await Promise.all(ids.map((id) => fixture.start(id, { commandType: 'Once', payload: {} })));
    await Promise.all(ids.map((id) => fixture.reaches(id, 'DeadLetter')));
    await Promise.all(
      ids.map(async (id) => {
        await fixture.client.workflow.getHandle(id).signal('discard');
        await eventually(
          'the dead letter is discarded',
          async () => (await listDeadLetters(fixture.pool, id))[0]!.resolution,
        );
        assert.equal(await restore({ ...operator(), waitMs: 60_000 }, id), 'done');
      }),
    );
    for (const id of ids) {
      await eventually(`the workflow of ${id} waits`, async () => {
        const { status } = await fixture.client.workflow.getHandle(id).describe();
        assert.equal(status.name, 'RUNNING', `the workflow of ${id} has ended`);
        return (await fixture.status(id)).status === 'DeadLetter';
      });
    }
  });

  it('reports that the discarded workflow does not end', async () => {
    const id = fixture.id('nobody-works');
    await seedOpen(fixture.pool, id, 'DeadLetter', { days: 1 });
    await resolveLetter(fixture.pool, id, 'discarded', 0);
    const taskQueue = `${fixture.taskQueue}-empty`;
    const handle = await fixture.start(id, undefined, { taskQueue });
    await assert.rejects(
      restore({ ...operator(), taskQueue, waitMs: 300 }, id),
      /is an open dead letter again, but its workflow .* has not ended yet/,
    );
    assert.equal((await listDeadLetters(fixture.pool, id))[0]!.resolution, null);
    await handle.terminate('the test is over');
  });

  it('refuses an actor and a reason that cannot be stored', async () => {
    const id = await discarded('notes');
    for (const note of [{ actor: 'a'.repeat(201) }, { reason: 'nul \u0000' }]) {
      await assert.rejects(
        restore(operator(), id, note),
        /the request was refused: (actor is longer|reason contains char)/,
      );
    }
    assert.equal((await listDeadLetters(fixture.pool, id))[0]!.resolution, 'discarded');
    await restore(operator(), id, { actor: '' });
    assert.equal((await listAudit(fixture.pool, id)).at(-1)!.actor, 'operations');
  });

  it('refuses messages that are not discarded dead letters, or that were pruned', async () => {
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
