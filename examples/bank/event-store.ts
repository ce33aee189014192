/**
 * Event streams in Postgres. Events are never updated or deleted.
 *
 * @module
 */
import { DatabaseError } from 'pg';
import type { AccountEvent } from './account.ts';
import { ConcurrencyError } from './errors.ts';
import type { Queryable } from './postgres.ts';

export interface Append {
  streamId: string;
  /** The version of the stream on which the decision is based; 0 for a new stream. */
  expectedVersion: number;
  events: readonly AccountEvent[];
}

/** Returns all events of a stream, oldest first. */
export async function loadStream(tx: Queryable, streamId: string): Promise<AccountEvent[]> {
  const { rows } = await tx.query<AccountEvent>(
    'select type, data from bank.events where stream_id = $1 order by version',
    [streamId],
  );
  return rows;
}

/**
 * Appends to several streams in one statement, because the accounts stay locked during each round trip.
 * Throws {@link ConcurrencyError} if a stream has changed since the expected version. The transaction is then aborted.
 */
export async function append(tx: Queryable, messageId: string, appends: readonly Append[]): Promise<void> {
  const rows = appends.flatMap(({ streamId, expectedVersion, events }) =>
    events.map((event, index) => ({ streamId, version: expectedVersion + index + 1, event })),
  );
  try {
    await tx.query(
      `insert into bank.events (stream_id, version, type, data, message_id)
       select stream_id, version, type, data, $5
       from unnest($1::text[], $2::integer[], $3::text[], $4::jsonb[]) as new (stream_id, version, type, data)`,
      [
        rows.map((row) => row.streamId),
        rows.map((row) => row.version),
        rows.map((row) => row.event.type),
        rows.map((row) => JSON.stringify(row.event.data)),
        messageId,
      ],
    );
  } catch (error) {
    if (isVersionTaken(error))
      throw new ConcurrencyError(
        appends.map((each) => each.streamId),
        { cause: error },
      );
    throw error;
  }
}

function isVersionTaken(error: unknown): boolean {
  return error instanceof DatabaseError && error.code === '23505' && error.constraint === 'events_pkey';
}
