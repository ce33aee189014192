/**
 * A stranger, which is another client of the database, inserts a message and keeps the transaction open while the senders of
 * the load send the same message id. Then the transaction commits or rolls back. The stranger's message is the same as that
 * of the load, or a different one under the same id.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Pool } from 'pg';
import type { JsonObject } from '../../src/core/json.ts';
import { pause } from '../../src/outbox/session.ts';
import type { Fault, Scene } from './fault.ts';
import type { Random } from './random.ts';

export const STRANGER_FAULTS: Record<string, Fault> = {
  "a stranger's uncommitted message": {
    weight: 8,
    async run(scene, random) {
      const strangers = 1 + random.below(3);
      for (let n = 0; n < strangers; n += 1) await insertAsStranger(scene, random);
      return true;
    },
  },
};

async function insertAsStranger(scene: Scene, random: Random): Promise<void> {
  const { postgres, pool, load, background, journal } = scene;
  const isDifferent = random.chance(0.4);
  const commits = random.chance(0.5);
  const ofLoad = load.invent(isDifferent);
  const own = isDifferent ? { ...ofLoad, payload: { ...ofLoad.payload, cents: 501 } } : ofLoad;
  const forMs = 1_000 + random.below(12_000);
  const client = new Client({ connectionString: postgres.url, application_name: 'chaos stranger' });
  client.on('error', () => {});
  await client.connect();
  await client.query('begin');
  await client.query('select inbox.send($1, $2, $3)', [
    own.messageId,
    own.commandType,
    JSON.stringify(own.payload),
  ]);
  load.sendSoon(ofLoad);
  background.start(async (signal) => {
    await pause(forMs, signal);
    const ended = await client.query(commits ? 'commit' : 'rollback').then(
      () => true,
      () => false,
    );
    await client.end().catch(() => {});
    // If the answer was lost with the connection, the row shows whether the transaction was committed.
    const committed = ended ? commits : await isStored(pool, own.messageId, own.payload);
    if (committed) journal.add({ ...own, answer: 'ok' });
    scene.count(committed ? 'messages of strangers committed' : 'messages of strangers rolled back', 1);
  });
}

async function isStored(pool: Pool, messageId: string, payload: JsonObject): Promise<boolean> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    // Gives a backend that has lost its client enough time to end.
    await sleep(1_000);
    try {
      const { rowCount } = await pool.query(
        'select from inbox.entries where message_id = $1 and payload = $2::jsonb',
        [messageId, JSON.stringify(payload)],
      );
      return rowCount === 1;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}
