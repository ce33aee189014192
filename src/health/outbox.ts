/**
 * The outbox check of `inbox doctor`: finds events that are not published.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { Verdict } from './finding.ts';
import { unhealthy, duration, healthy } from './finding.ts';
import { findOutboxLag, MAX_WAITING_COUNTED, summarizeParked } from '../store/outbox-lag.ts';
import type { OutboxLag, ParkedSummary } from '../store/outbox-lag.ts';

/** Twice the relay's longest backoff. */
const LATE_MS = 60_000;

/**
 * If no relay has ever published, this counts as intended: Debezium reads the outbox without marking events, or nothing
 * needs the events.
 */
export async function checkOutbox(db: Queryable): Promise<Verdict> {
  const [lag, parked] = await Promise.all([findOutboxLag(db, LATE_MS), summarizeParked(db)]);
  const [lagVerdict, parkedVerdict] = [judgeLag(lag), judgeParked(parked)];
  if (parkedVerdict === null) return lagVerdict;
  if (lagVerdict.ok) return parkedVerdict;
  return unhealthy(
    `${lagVerdict.finding}; ${parkedVerdict.finding}`,
    `${lagVerdict.remedy}; ${parkedVerdict.remedy}`,
  );
}

function judgeLag({ count, oldestMs, next, relay, published }: OutboxLag): Verdict {
  if (count === 0) return healthy('no event has waited longer than a minute');
  const many = count < MAX_WAITING_COUNTED ? `${count}` : `${MAX_WAITING_COUNTED} or more`;
  const waiting = `${many} unpublished for more than a minute, the oldest for ${duration(oldestMs ?? 0)}`;
  if (relay !== null) {
    return unhealthy(
      `${waiting}; a relay is running (${relay}) but does not publish them`,
      `the log of its worker shows the broker's error and the event that caused it; the next event is ${next}`,
    );
  }
  if (published) {
    return unhealthy(
      `${waiting}; no relay is running`,
      'start a worker with --publish, or createOutboxRelay, where it ran before; until then, commands still run and their ' +
        'events wait',
    );
  }
  return healthy(
    `${waiting}; no relay has ever published, which is as intended if Debezium or nothing reads the outbox`,
  );
}

function judgeParked({ aggregates, since, eventId }: ParkedSummary): Verdict | null {
  if (aggregates === 0) return null;
  const what = aggregates === 1 ? '1 aggregate is parked' : `${aggregates} aggregates are parked`;
  return unhealthy(
    `${what}, the oldest for ${duration(Date.now() - since!.getTime())}: the broker rejects event ${eventId}`,
    '`inbox outbox list` shows why. Fix the cause, such as a limit of the broker, then run `inbox outbox release --all`; ' +
      '`inbox outbox skip <event> --reason …` skips an event that can never be published',
  );
}
