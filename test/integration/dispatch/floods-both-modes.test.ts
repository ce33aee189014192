/** Commands that hang in workflow mode and in express mode at the same time do not keep those of another type from completing. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { withTransaction } from '../../../src/platform/postgres.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually, gate } from '../../support/wait.ts';

const SLOTS = 8;
/** An eighth of the slots stays free for other types. */
const HANGING = SLOTS - 1;

describe('floods in both modes at the same time', () => {
  let fixture: TestInbox;
  let inbox: Inbox;
  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  it('leave a connection to every attempt that has a slot', async () => {
    const finish = gate();
    let hanging = 0;
    const hang = (type: string, express: boolean) =>
      defineCommand({
        type,
        express,
        schema: z.object({}),
        timeout: '1 minute',
        async handle() {
          hanging += 1;
          await finish.opened;
          hanging -= 1;
        },
      });
    const note = (type: string, express: boolean) =>
      defineCommand({ type, express, schema: z.object({}), handle: () => hanging });
    const commands = [
      hang('Hang', false),
      hang('HangExpress', true),
      note('Note', false),
      note('NoteExpress', true),
    ];
    const worker = await fixture.startWorker(commands, {
      concurrency: SLOTS,
      expressConcurrency: SLOTS,
      retryConcurrency: 1,
    });
    const send = (type: string, count: number) =>
      withTransaction(fixture.pool, (tx) =>
        inbox.send(
          Array.from({ length: count }, (_, index) => ({
            messageId: fixture.id(`${type}-${index}`),
            type,
            payload: {},
          })),
          { tx },
        ),
      );
    await send('Hang', 3 * SLOTS);
    await send('HangExpress', 3 * SLOTS);
    await eventually('the commands of both floods hang', () => hanging === 2 * HANGING);
    for (const type of ['Note', 'NoteExpress']) {
      await send(type, 1);
      const { result } = await fixture.reaches(fixture.id(`${type}-0`), 'Completed');
      assert.equal(result, 2 * HANGING, 'all of them still hung when it ran');
    }
    finish.open();
    await worker.stop();
  });
});
