/**
 * The alerts check of `inbox doctor`: finds alerts that were not delivered.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { Finding } from './finding.ts';
import { unhealthy, check, duration, healthy } from './finding.ts';
import { findUndeliveredAlerts } from '../store/alerts.ts';
import { findLongLockHolder } from '../store/turns.ts';

/** Longer than a receiver takes to restart. */
const LATE_MS = 5 * 60_000;
/** Gathering takes seconds at most. */
const LONG_HOLD_MS = 60_000;

/** @param longHoldMs - how long one session may hold the lock for gathering alerts before it is reported */
export function checkAlerts(pool: Pool, timeoutMs: number, longHoldMs = LONG_HOLD_MS): Promise<Finding> {
  return check('alerts', timeoutMs, 'connect as a role that may select from inbox.alerts', async () => {
    const holder = await findLongLockHolder(pool, 'alerts', longHoldMs);
    if (holder) {
      const { pid, user, application, since } = holder;
      return unhealthy(
        `no alerts are created: ${application ?? 'a session'} of ${user} (pid ${pid}) has held the lock for creating them ` +
          `for ${duration(Date.now() - since!.getTime())}`,
        `check what that worker is doing, or end its session: select pg_terminate_backend(${pid})`,
      );
    }
    const { count, oldestMs, example, givenUp } = await findUndeliveredAlerts(pool, LATE_MS);
    if (count === 0) return healthy('none is overdue or given up');
    const which = `${count} undelivered (older than 5 minutes or given up), ${givenUp} of them given up`;
    return unhealthy(
      `${which}; the oldest was created ${duration(oldestMs ?? 0)} ago`,
      'check that the receiver at INBOX_ALERT_URL answers with 2xx, that onDeadLetter does not throw, and that all workers ' +
        `have the same of both; to see the error: select last_error from inbox.alerts where id = '${example}'`,
    );
  });
}
