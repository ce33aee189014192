import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { prune } from '../../../src/retention/retention.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

const EVERYTHING = { completedOlderThanMs: 0, outboxOlderThanMs: 0, deadLettersOlderThanMs: 0 };

/** Fails once, so that there is a failure to prune while the next attempt runs. */
const count = defineCommand({
  type: 'Count',
  schema: z.object({ by: z.number() }),
  retry: { initialInterval: '50ms' },
  async handle({ payload, tx, messageId, attempt }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    if (attempt === 1 && payload.by % 3 === 0) throw new Error(`not yet, canary ${payload.by}`);
    return { counted: payload.by };
  },
});
const never = defineCommand({
  type: 'Never',
  schema: z.object({}),
  handle() {
    throw new UnrecoverableError('Never');
  },
});

const typeOf = (error: unknown) => (error as { cause?: { type?: string } }).cause?.type;

describe('retention while commands run', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.pool.query('create table effects (message_id text)');
    await inbox.startWorker([count, never]);
  });
  after(() => inbox.close());

  it('prunes completed commands; each command runs once and returns its result', async () => {
    const ids = Array.from({ length: 40 }, (_, index) => inbox.id(`busy-${index}`));
    const settled = new AbortController();
    const results = Promise.all(
      ids.map(async (messageId, by) => {
        const handle = await inbox.start(messageId, { commandType: 'Count', payload: { by } });
        return handle.result() as Promise<unknown>;
      }),
    ).finally(() => settled.abort());
    let whileBusy = 0;
    while (!settled.signal.aborted) {
      whileBusy += (await prune(inbox.pool, { ...EVERYTHING, batchSize: 5 })).entries;
    }
    assert.deepEqual(
      await results,
      ids.map((_, by) => ({ counted: by })),
    );
    assert.ok(whileBusy > 0, 'some were pruned while others ran');
    const last = await prune(inbox.pool, EVERYTHING);
    assert.equal(whileBusy + last.entries, ids.length);
    assert.equal((await rows(inbox.pool, 'select from effects')).length, ids.length);
    assert.equal(
      (await rows(inbox.pool, `select from inbox.failures where error like '%canary%' or stack is not null`))
        .length,
      0,
    );
  });

  it('still detects duplicates, without a result, and conflicts, both from Temporal and from inbox.send', async () => {
    const messageId = inbox.id('twice');
    const command = { commandType: 'Count', payload: { by: 1 } };
    const first = await inbox.start(messageId, command);
    assert.deepEqual(await first.result(), { counted: 1 });
    assert.ok((await prune(inbox.pool, EVERYTHING)).entries >= 1);

    const repeat = await inbox.start(messageId, command);
    assert.equal(await repeat.result(), null);
    const other = await inbox.start(messageId, { commandType: 'Count', payload: { by: 2 } });
    await assert.rejects(other.result(), (error) => typeOf(error) === 'IdempotencyConflict');
    const bare = await inbox.start(messageId);
    assert.equal(await bare.result(), null);
    const send = `select inbox.send($1, 'Count', $2) as answer`;
    const [answer] = await rows<{ answer: string }>(inbox.pool, send, [messageId, '{"by":1}']);
    assert.equal(answer!.answer, 'duplicate');
    await assert.rejects(inbox.pool.query(send, [messageId, '{"by":2}']), { code: 'IB001' });
    assert.equal(
      (await rows(inbox.pool, 'select from effects where message_id = $1', [messageId])).length,
      1,
    );
    assert.ok((await inbox.entry(messageId))?.prunedAt);
  });

  it('keeps a discarded command discarded', async () => {
    const messageId = inbox.id('discarded');
    const command = { commandType: 'Never', payload: {} };
    const handle = await inbox.start(messageId, command);
    await inbox.reaches(messageId, 'DeadLetter');
    assert.equal((await prune(inbox.pool, EVERYTHING)).deadLetters, 0);
    await handle.signal('discard', { actor: 'ada', reason: 'customer left' });
    await assert.rejects(handle.result());
    assert.equal((await prune(inbox.pool, EVERYTHING)).deadLetters, 1);

    const repeat = await inbox.start(messageId, command);
    await assert.rejects(repeat.result(), (error) => {
      const { cause } = error as { cause: { type?: string; message: string } };
      assert.equal(cause.type, 'Discarded');
      assert.equal(cause.message, 'discarded by ada: customer left');
      return true;
    });
  });
});
