/**
 * A transaction holds a snapshot for a good part of a storm, so Postgres cannot clean up rows that die in the meantime.
 *
 * @module
 */
import { Client } from 'pg';
import { pause } from '../../src/outbox/session.ts';
import type { Fault, Scene } from './fault.ts';

export const SNAPSHOT_FAULTS: Record<string, Fault> = {
  'snapshot held': {
    weight: 4,
    async run(scene, random) {
      const until = Date.now() + 30_000 + random.below(90_000);
      scene.background.start(async (signal) => {
        while (!signal.aborted && Date.now() < until) {
          await holdSnapshot(scene, until, signal).catch(() => {});
          // Another fault may have ended the connection. Then the snapshot is taken again.
          await pause(1_000, signal);
        }
      });
      return true;
    },
  },
};

/** Ends at this time, or when Postgres ends the connection. */
async function holdSnapshot({ postgres, count }: Scene, until: number, signal: AbortSignal): Promise<void> {
  const client = new Client({ connectionString: postgres.url, application_name: 'chaos snapshot' });
  const broken = new Promise<void>((resolve) => {
    client.on('error', () => resolve()).on('end', () => resolve());
  });
  try {
    await client.connect();
    await client.query('begin isolation level repeatable read; select count(*) from inbox.entries');
    const begun = Date.now();
    await Promise.race([pause(until - Date.now(), signal), broken]);
    count('seconds with a snapshot held', Math.round((Date.now() - begun) / 1_000));
  } finally {
    await client.end().catch(() => {});
  }
}
