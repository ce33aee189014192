/**
 * The part of `inbox doctor` that looks at alerts: dead letters that somebody was to be told of, and was not.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { Finding } from './finding.ts';
import { unhealthy, check, duration, healthy } from './finding.ts';
import { findUndeliveredAlerts } from '../store/alerts.ts';
import { findLongTurn } from '../store/turns.ts';

/** Longer than a receiver's restart. */
const LATE_MS = 5 * 60_000;
/** Gathering takes seconds at most. */
const LONG_TURN_MS = 60_000;

/** @param longTurnMs - how long one session may gather alerts before this is reported */
export function checkAlerts(pool: Pool, timeoutMs: number, longTurnMs = LONG_TURN_MS): Promise<Finding> {
  return check('alerts', timeoutMs, 'read as a role that may select from inbox.alerts', async () => {
    const holder = await findLongTurn(pool, 'alerts', longTurnMs);
    if (holder) {
      const { pid, user, application, since } = holder;
      return unhealthy(
        `no alert is made: ${application ?? 'a session'} of ${user} (pid ${pid}) has kept the turn to make them for ` +
          duration(Date.now() - since!.getTime()),
        `see what that worker does, or end its session: select pg_terminate_backend(${pid})`,
      );
    }
    const { count, oldestMs, example, givenUp } = await findUndeliveredAlerts(pool, LATE_MS);
    if (count === 0) return healthy('none is undelivered');
    const which = `${count} undelivered for more than 5 minutes, ${givenUp} of them given up`;
    return unhealthy(
      `${which}; the oldest was made ${duration(oldestMs ?? 0)} ago`,
      'see that what INBOX_ALERT_URL names answers with 2xx and onDeadLetter does not throw, and that every worker has ' +
        `both; why: select last_error from inbox.alerts where id = '${example}'`,
    );
  });
}
