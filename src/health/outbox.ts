/**
 * The part of `inbox doctor` that looks at the outbox: events that do not leave.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { Verdict } from './finding.ts';
import { unhealthy, duration, healthy } from './finding.ts';
import { findOutboxLag, MOST_WAITING, summarizeParked } from '../store/outbox-lag.ts';
import type { OutboxLag, ParkedSummary } from '../store/outbox-lag.ts';

/** Two of the relay's longest waits between tries. */
const LATE_MS = 60_000;

/** Where no relay has ever published, that is a choice: Debezium reads the outbox and marks nothing, or nobody wants events. */
export async function checkOutbox(db: Queryable): Promise<Verdict> {
  const [lag, parked] = await Promise.all([findOutboxLag(db, LATE_MS), summarizeParked(db)]);
  const [late, held] = [judgeLag(lag), judgeParked(parked)];
  if (held === null) return late;
  if (late.ok) return held;
  return unhealthy(`${late.finding}; ${held.finding}`, `${late.remedy}; ${held.remedy}`);
}

function judgeLag({ count, oldestMs, next, relay, published }: OutboxLag): Verdict {
  if (count === 0) return healthy('no event waits longer than a minute');
  const many = count < MOST_WAITING ? `${count}` : `${MOST_WAITING} or more`;
  const waiting = `${many} unpublished for more than a minute, the first for ${duration(oldestMs ?? 0)}`;
  if (relay !== null) {
    return unhealthy(
      `${waiting}; a relay runs (${relay}), and does not get them out`,
      `the log of its worker says what the broker answers, and to which event; the next one is ${next}`,
    );
  }
  if (published) {
    return unhealthy(
      `${waiting}; no relay runs`,
      'start a worker with --publish, or createOutboxRelay, wherever it ran before; commands go on meanwhile, and their ' +
        'events wait',
    );
  }
  return healthy(`${waiting}; no relay has published any: right where Debezium reads them, or nobody does`);
}

function judgeParked({ aggregates, since, eventId }: ParkedSummary): Verdict | null {
  if (aggregates === 0) return null;
  const what = aggregates === 1 ? '1 aggregate is parked' : `${aggregates} aggregates are parked`;
  return unhealthy(
    `${what}, the first for ${duration(Date.now() - since!.getTime())}: the broker rejects event ${eventId}`,
    '`inbox outbox list` says why. Fix the cause, such as a limit of the broker, then `inbox outbox release --all`; ' +
      '`inbox outbox skip <event> --reason …` gives up an event that can never be published',
  );
}
