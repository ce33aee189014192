/** Alerts people about dead letters: each one at least once, and many with the same cause in one alert. */
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { defineCommand, UnrecoverableError } from 'temporal-inbox';
import type { DeadLetterHook } from 'temporal-inbox/worker';
import { z } from 'zod';
import { withWorker } from './with-worker.ts';

const charge = defineCommand({
  type: 'Charge',
  schema: z.object({ card: z.string() }),
  handle({ payload }) {
    throw new UnrecoverableError('CardBlocked', { card: payload.card });
  },
});

// Stands for a pager. The alertId is the same when an alert is delivered again.
const pager = new EventEmitter();
const onDeadLetter: DeadLetterHook = (alert) => {
  pager.emit('page', `${alert.commandType}: ${alert.errorType}`);
};

await withWorker(
  [charge],
  async ({ inbox }) => {
    const paged = once(pager, 'page');
    await inbox.send(charge, { messageId: randomUUID(), payload: { card: 'c-1' } });
    console.log(...(await paged)); // Charge: CardBlocked
  },
  { onDeadLetter },
);
