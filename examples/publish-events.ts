/** Publishes events through the outbox: stored in the command's transaction, published afterwards, in order per aggregate. */
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { defineCommand } from 'temporal-inbox';
import { createOutboxRelay } from 'temporal-inbox/outbox';
import { z } from 'zod';
import { withWorker } from './with-worker.ts';

const deposit = defineCommand({
  type: 'Deposit',
  schema: z.object({ account: z.string(), cents: z.int() }),
  handle({ payload: { account, cents }, emit }) {
    emit({ aggregateType: 'account', aggregateId: account, type: 'Deposited', payload: { cents } });
  },
});

await withWorker([deposit], async ({ inbox }) => {
  // Stands for a broker. A real one must store the events before `publish` resolves, and recognize repeats by the event's id.
  const broker = new EventEmitter();
  const relay = createOutboxRelay({
    databaseUrl: process.env['DATABASE_URL']!,
    publish: async (events) => events.forEach((event) => broker.emit(event.type, event)),
  });
  const running = relay.run();
  const published = once(broker, 'Deposited');
  await inbox.execute(deposit, { messageId: randomUUID(), payload: { account: 'a', cents: 100 } });
  const [event] = await published;
  console.log(event.aggregateId, event.payload); // a { cents: 100 }
  relay.stop();
  await running;
});
