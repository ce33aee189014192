/** Finds a dead letter, and replays it after the cause is fixed: what `inbox replay` does. */
import { randomUUID } from 'node:crypto';
import { DeadLetterError, defineCommand, UnrecoverableError } from 'temporal-inbox';
import * as operations from 'temporal-inbox/operations';
import { z } from 'zod';
import { withWorker } from './with-worker.ts';

let open = false;

const pay = defineCommand({
  type: 'Pay',
  schema: z.object({ cents: z.int() }),
  handle({ payload, generation }) {
    if (!open) throw new UnrecoverableError('AccountClosed');
    return { paid: payload.cents, replays: generation };
  },
});

await withWorker([pay], async ({ pool, inbox, client, taskQueue }) => {
  const message = { messageId: randomUUID(), payload: { cents: 100 } };
  await inbox.execute(pay, message).catch((error: unknown) => {
    if (error instanceof DeadLetterError) console.log(error.error); // AccountClosed
  });
  open = true;
  const note = { actor: 'ann', reason: 'the account is open again' };
  await operations.replay({ pool, client, taskQueue }, message.messageId, note);
  console.log(await inbox.execute(pay, message)); // { paid: 100, replays: 1 }
});
