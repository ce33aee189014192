/**
 * The part of `inbox doctor` that looks at alerts: dead letters that somebody was to be told of, and was not.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { Finding } from './finding.ts';
import { bad, check, duration, well } from './finding.ts';
import { findUndeliveredAlerts } from './store/alerts.ts';

/** Longer than a receiver's restart. */
const LATE_MS = 5 * 60_000;

export function checkAlerts(pool: Pool, timeoutMs: number): Promise<Finding> {
  return check('alerts', timeoutMs, 'read as a role that may select from inbox.alerts', async () => {
    const { count, oldestMs, example, givenUp } = await findUndeliveredAlerts(pool, LATE_MS);
    if (count === 0) return well('none is undelivered');
    const which = `${count} undelivered for more than 5 minutes, ${givenUp} of them given up`;
    return bad(
      `${which}; the oldest was made ${duration(oldestMs ?? 0)} ago`,
      'see that what INBOX_ALERT_URL names answers with 2xx and onDeadLetter does not throw, and that every worker has ' +
        `both; why: select last_error from inbox.alerts where id = '${example}'`,
    );
  });
}
