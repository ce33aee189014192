/** Starts a command on a schedule. Temporal adds the time to the workflow ID, so that each run has its own message_id. */
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { defineCommand } from 'temporal-inbox';
import { z } from 'zod';
import { withWorker } from './with-worker.ts';

const books = new EventEmitter<{ closed: [messageId: string] }>();

const closeBooks = defineCommand({
  type: 'CloseBooks',
  schema: z.object({ account: z.string() }),
  handle({ messageId }) {
    books.emit('closed', messageId);
  },
});

await withWorker([closeBooks], async ({ client, taskQueue }) => {
  const closed = once(books, 'closed') as Promise<[string]>;
  const schedule = await client.schedule.create({
    scheduleId: `close-books-${randomUUID()}`,
    spec: { calendars: [{ hour: 23, minute: 55, comment: 'every day' }] },
    action: {
      type: 'startWorkflow',
      workflowType: closeBooks.type,
      workflowId: 'close-books',
      taskQueue,
      args: [{ account: 'a-1' }, { metadata: { by: 'schedule' } }],
    },
    // For this example, the first run is now.
    state: { triggerImmediately: true },
  });
  const [messageId] = await closed;
  console.log(messageId.replace(/\d/g, '9')); // close-books-9999-99-99T99:99:99Z
  await schedule.delete();
});
