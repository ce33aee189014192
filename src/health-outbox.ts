/**
 * The part of `inbox doctor` that looks at the outbox: events that do not leave.
 *
 * @module
 */
import type { Queryable } from './database.ts';
import type { Verdict } from './finding.ts';
import { bad, duration, well } from './finding.ts';
import { findOutboxLag, MOST_WAITING } from './store/outbox-lag.ts';

/** Two of the relay's longest waits between tries. */
const LATE_MS = 60_000;

/** Where no relay has ever published, that is a choice: Debezium reads the outbox and marks nothing, or nobody wants events. */
export async function checkOutbox(db: Queryable): Promise<Verdict> {
  const { count, oldestMs, next, relay, published } = await findOutboxLag(db, LATE_MS);
  if (count === 0) return well('no event waits longer than a minute');
  const many = count < MOST_WAITING ? `${count}` : `${MOST_WAITING} or more`;
  const waiting = `${many} unpublished for more than a minute, the first for ${duration(oldestMs ?? 0)}`;
  if (relay) {
    return bad(
      `${waiting}; a relay runs, and does not get them out`,
      `its worker's log says what the broker answers, and to which event; next is ${next}`,
    );
  }
  if (published) {
    return bad(
      `${waiting}; no relay runs`,
      'start a worker with --publish, or createOutboxRelay, wherever it ran before; commands go on meanwhile, and their ' +
        'events wait',
    );
  }
  return well(`${waiting}; no relay has published any: right where Debezium reads them, or nobody does`);
}
