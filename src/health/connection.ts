/**
 * The connection check of `inbox doctor`: detects a pooler in front of Postgres and checks that notifications arrive.
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
import { keepsServerConnection } from '../store/notifications.ts';

type Route = 'direct' | 'session' | 'transaction';

const ROUTES: Record<Route, string> = {
  direct: 'DATABASE_URL connects without a pooler',
  session: 'DATABASE_URL connects through a pooler in session mode',
  transaction: 'DATABASE_URL connects through a pooler in transaction mode',
};

/** Without LISTEN, commands wait for the next poll. That only costs time, so it would stay unnoticed without this check. */
export async function checkConnection(pool: Pool, env: Record<string, string | undefined>): Promise<Verdict> {
  const route = ROUTES[await findRoute(pool)];
  const directUrl = readDirectUrl(env);
  const over = directUrl ? ' over INBOX_DIRECT_URL' : '';
  const works = await tryToListen(pool, directUrl);
  if (works === true) return healthy(`${route}; notifications arrive${over}`);
  const why = works === false ? 'do not arrive' : `cannot be received (${messageOf(works)})`;
  const remedy = directUrl
    ? 'check that INBOX_DIRECT_URL reaches the same database as DATABASE_URL, without a pooler in transaction mode'
    : 'set INBOX_DIRECT_URL to a URL that reaches this database without a pooler in transaction mode; until then, ' +
      'workers and waiting senders poll';
  return unhealthy(`${route}; notifications ${why}${over}`, remedy);
}

/** Two connections are enough for this test: behind a pooler in transaction mode, they share their server connections. */
async function findRoute(pool: Pool): Promise<Route> {
  const client = await pool.connect();
  try {
    let pooled = false;
    const keeps = await keepsServerConnection(client, backendOf(client), async (use) => {
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
