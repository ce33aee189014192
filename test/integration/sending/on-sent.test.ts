/** The option `onSent` of execute. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import type { Sent } from '../../../src/commands/message.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { gate } from '../../support/wait.ts';

const held = gate();
const slow = defineCommand({
  type: 'Slow',
  schema: z.object({ n: z.int() }),
  async handle({ payload }) {
    await held.opened;
    return payload.n;
  },
});

describe('onSent', () => {
  let fixture: TestInbox;
  let inbox: Inbox;
  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
    await fixture.startWorker([slow]);
  });
  after(async () => {
    held.open();
    await inbox.close();
    await fixture.close();
  });

  it('is called with the answer to the send before the result exists, for a duplicate as well', async () => {
    const message = { messageId: fixture.id('slow'), payload: { n: 5 } };
    const results: Promise<number>[] = [];
    const send = () =>
      new Promise<Sent>((onSent, onError) => {
        const result = inbox.execute(slow, message, { onSent, timeoutMs: 180_000 });
        result.catch(onError);
        results.push(result);
      });
    for (const answer of ['accepted', 'duplicate']) {
      const sent = await send();
      assert.deepEqual([sent.answer, sent.entry.messageId], [answer, message.messageId]);
      assert.notEqual((await fixture.entry(message.messageId))?.status, 'Completed');
    }
    held.open();
    // Unlike execute, this says what the command waits for if it takes too long.
    await fixture.reaches(message.messageId, 'Completed');
    assert.deepEqual(await Promise.all(results), [5, 5]);
  });

  it('is not called if the send fails', async () => {
    const messageId = fixture.id('conflict');
    await inbox.send(slow, { messageId, payload: { n: 1 } });
    const calls: Sent[] = [];
    const options = { onSent: (sent: Sent) => calls.push(sent) };
    await assert.rejects(inbox.execute(slow, { messageId, payload: { n: 2 } }, options), {
      name: 'IdempotencyConflictError',
    });
    assert.deepEqual(calls, []);
  });
});
