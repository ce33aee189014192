/**
 * The way from here to Postgres, for `inbox doctor`: a pooler in between, and whether notifications arrive.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import { readDirectUrl } from '../platform/postgres-url.ts';
import { backendOf } from '../platform/connection.ts';
import { messageOf } from '../platform/error-message.ts';
import type { Verdict } from './finding.ts';
import { unhealthy, healthy } from './finding.ts';
import { listen } from '../store/notification-listener.ts';
import type { Listener } from '../store/notification-listener.ts';
import { createLog } from '../platform/log.ts';
import { keepsItsServer } from '../store/notifications.ts';

type Way = 'direct' | 'session' | 'transaction';

const WAYS: Record<Way, string> = {
  direct: 'DATABASE_URL reaches Postgres without a pooler',
  session: 'DATABASE_URL leads through a pooler in session mode',
  transaction: 'DATABASE_URL leads through a pooler in transaction mode',
};

/** LISTEN not working costs only time, but nobody would notice: commands wait for a poll. */
export async function checkConnection(pool: Pool, env: Record<string, string | undefined>): Promise<Verdict> {
  const way = WAYS[await findWay(pool)];
  const directUrl = readDirectUrl(env);
  const over = directUrl ? ' over INBOX_DIRECT_URL' : '';
  const works = await tryToListen(pool, directUrl);
  if (works === true) return healthy(`${way}; notifications arrive${over}`);
  const why = works === false ? 'do not arrive' : `cannot be listened for (${messageOf(works)})`;
  const todo = directUrl
    ? 'check that INBOX_DIRECT_URL leads to the same database as DATABASE_URL, and not through a pooler in transaction mode'
    : 'set INBOX_DIRECT_URL to a URL that reaches this database without a pooler in transaction mode: until then workers and ' +
      'waiting senders poll';
  return unhealthy(`${way}; notifications ${why}${over}`, todo);
}

/** Two connections are enough to tell: behind a pooler in transaction mode they take each other's server. */
async function findWay(pool: Pool): Promise<Way> {
  const client = await pool.connect();
  try {
    let pooled = false;
    const keeps = await keepsItsServer(client, backendOf(client), async (use) => {
      pooled = true;
      const other = await pool.connect();
      try {
        return await use(other);
      } finally {
        other.release();
      }
    });
    if (!pooled) return 'direct';
    return keeps ? 'session' : 'transaction';
  } finally {
    client.release();
  }
}

async function tryToListen(pool: Pool, directUrl: string | null): Promise<boolean | Error> {
  let listener: Listener | undefined;
  try {
    return await new Promise((resolve) => {
      listener = listen({
        pool,
        directUrl,
        channel: `inbox_doctor_${randomBytes(8).toString('hex')}`,
        onWake: () => {},
        log: createLog('error', () => {}),
        meanwhile: '',
        onChecked: resolve,
      });
    });
  } finally {
    await listener?.close();
  }
}
