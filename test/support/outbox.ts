/**
 * Commands that emit events without Temporal, and relays that run during a test.
 *
 * @module
 */
import type { Pool } from 'pg';
import { createLog } from '../../src/platform/log.ts';
import { createOutboxRelay } from '../../src/outbox/relay.ts';
import type { OutboxRelayOptions } from '../../src/outbox/relay.ts';
import { withTransaction } from '../../src/platform/postgres.ts';
import type { Queryable } from '../../src/platform/queryable.ts';
import type { PublishedEvent } from '../../src/core/published-event.ts';
import { completeEntry, insertAndClaimEntry, lockAttempt } from '../../src/store/entries.ts';
import type { StoredEvent } from '../../src/store/entries.ts';
import { rows } from './inbox.ts';
import { eventually } from './wait.ts';

export function eventOf(
  aggregateid: string,
  payload: StoredEvent['payload'],
  type = 'Happened',
): StoredEvent {
  return { aggregatetype: 'account', aggregateid, type, payload, metadata: {} };
}

/** Runs a command's transaction as an attempt does: lock, handler, one statement for events and Completed, COMMIT. */
export async function runCommand(
  pool: Pool,
  messageId: string,
  handle: (tx: Queryable) => Promise<StoredEvent[]>,
  {
    last = 'commit',
    correlationId = null,
  }: { last?: 'commit' | 'rollback'; correlationId?: string | null } = {},
): Promise<void> {
  const message = {
    messageId,
    commandType: 'Test',
    payload: {},
    correlationId,
    causationId: null,
    metadata: {},
  };
  await insertAndClaimEntry(pool, message);
  await withTransaction(pool, async (tx) => {
    const { xid } = (await lockAttempt(tx, messageId, 1, 60_000))!;
    const events = await handle(tx);
    await completeEntry(tx, { messageId, attempt: 1, xid, result: null, events });
    // The COMMIT that follows finds no transaction, but Postgres still answers COMMIT.
    if (last === 'rollback') await tx.query('rollback');
  });
}

/** Adds a backlog of events in one transaction. The payload of each event is its number, from 1. */
export async function insertEvents(pool: Pool, count: number, aggregates = 1): Promise<void> {
  await pool.query(
    `insert into inbox.outbox (aggregatetype, aggregateid, type, payload, message_id)
     select 'account', 'a' || n % $2, 'Happened', to_jsonb(n), 'backlog' from generate_series(1, $1) n order by n`,
    [count, aggregates],
  );
}

export async function countUnpublished(pool: Pool): Promise<number> {
  const [found] = await rows<{ count: number }>(
    pool,
    'select count(*)::integer as count from inbox.outbox where published_at is null',
  );
  return found!.count;
}

export const allPublished = (pool: Pool) =>
  eventually('every event is marked as published', async () => (await countUnpublished(pool)) === 0);

/** Process ids of the Postgres backends of this database's relays. */
export async function relayBackends(pool: Pool): Promise<number[]> {
  const found = await rows<{ pid: number }>(
    pool,
    `select pid from pg_stat_activity
     where datname = current_database() and application_name = 'inbox outbox'`,
  );
  return found.map(({ pid }) => pid);
}

/** The relay that holds the lease. */
export async function publishingRelay(pool: Pool): Promise<string | undefined> {
  const found = await rows<{ holder: string }>(
    pool,
    'select holder from inbox.outbox_lease where until > clock_timestamp()',
  );
  return found[0]?.holder;
}

/** Deletes all events and parked aggregates, for the next test. */
export async function emptyOutbox(pool: Pool): Promise<void> {
  await pool.query('truncate inbox.outbox, inbox.outbox_parked');
}

/** The payload numbers of the events of each aggregate, in the order of `events`. */
export function byAggregate(events: readonly PublishedEvent[]): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const { aggregateId, payload } of events) {
    found.set(aggregateId, [...(found.get(aggregateId) ?? []), payload as number]);
  }
  return found;
}

/** A publisher that calls `first` and then records the events. */
export function recorder(
  first: (events: readonly PublishedEvent[], signal: AbortSignal) => unknown = () => {},
) {
  const published: PublishedEvent[] = [];
  const publish = async (events: readonly PublishedEvent[], signal: AbortSignal) => {
    await first(events, signal);
    published.push(...events);
  };
  return { published, publish };
}

export const oneTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

export interface TestRelay {
  /** The lines that it logged. */
  lines: string[];
  stop(): Promise<void>;
}

/** The rejected event of a parked aggregate. */
export interface ParkedRow {
  event_id: string;
  attempts: number;
  error: string;
}

export const parkedRows = (pool: Pool) =>
  rows<ParkedRow>(pool, 'select event_id, attempts, error from inbox.outbox_parked order by id');

export function startRelay(options: OutboxRelayOptions): TestRelay {
  const lines: string[] = [];
  const relay = createOutboxRelay({
    log: createLog('debug', (line) => lines.push(line)),
    // Short, so that tests that kill a relay don't wait long.
    lease: '3s',
    ...options,
  });
  const running = relay.run();
  // `stop` rejects with the error; until then it must not end the process as an unhandled rejection.
  running.catch(() => {});
  return {
    lines,
    async stop() {
      relay.stop();
      await running;
    },
  };
}

/** The relays that a test starts. `database` is called when a relay starts. */
export function createRelays(database: () => string) {
  let started: TestRelay[] = [];
  return {
    start: (options: Omit<OutboxRelayOptions, 'databaseUrl'>): TestRelay => {
      const relay = startRelay({ databaseUrl: database(), ...options });
      started.push(relay);
      return relay;
    },
    stopAll: async (): Promise<void> => {
      await Promise.all(started.map((each) => each.stop()));
      started = [];
    },
  };
}
