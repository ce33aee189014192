/**
 * A broker for the outbox of a chaos run: it remembers in which order it accepted events, and can refuse those of one
 * aggregate.
 *
 * @module
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import type { Pool } from 'pg';
import type { PublishedEvent } from '../../src/publisher.ts';

/** named: its answer says which events it rejected. whole: it accepts nothing of a batch with such an event. */
export type Refusal = { aggregateId: string; how: 'named' | 'whole' };

export interface Broker {
  url: string;
  /** Until it is called with null. */
  refuse(refusal: Refusal | null): void;
  /** Events of the refused aggregate that it did not accept, and events of others that it accepted, since `refuse` was called. */
  readonly sinceRefusal: { rejected: number; acceptedOfOthers: number };
  /** Writes what it accepted where the checker's queries can join it. */
  store(pool: Pool): Promise<void>;
  stop(): Promise<void>;
}

/** As they come over the wire. */
export type WireEvent = Pick<PublishedEvent, 'id' | 'position' | 'aggregateType' | 'aggregateId' | 'type'>;

/** What it accepted and whom it refuses; without the server around it. */
export class BrokerLog {
  readonly accepted: WireEvent[] = [];
  refusal: Refusal | null = null;
  sinceRefusal = { rejected: 0, acceptedOfOthers: 0 };

  /** @returns null when all were accepted, else the ids that were rejected; undefined when it does not say */
  take(events: readonly WireEvent[]): { rejected: string[] | undefined } | null {
    const refused = events.filter((event) => this.#isRefused(event));
    if (refused.length > 0 && this.refusal?.how === 'whole') {
      this.sinceRefusal.rejected += refused.length;
      return { rejected: undefined };
    }
    for (const event of events) {
      if (this.#isRefused(event)) continue;
      const { id, position, aggregateType, aggregateId, type } = event;
      this.accepted.push({ id, position, aggregateType, aggregateId, type });
      if (this.sinceRefusal.rejected > 0) this.sinceRefusal.acceptedOfOthers += 1;
    }
    this.sinceRefusal.rejected += refused.length;
    // The first only: later ones of its aggregate were not even looked at.
    return refused.length === 0 ? null : { rejected: [refused[0]!.id] };
  }

  refuse(refusal: Refusal | null): void {
    this.refusal = refusal;
    this.sinceRefusal = { rejected: 0, acceptedOfOthers: 0 };
  }

  /** Writes it where the checker's queries can join it. */
  async store(pool: Pool): Promise<void> {
    await pool.query(
      `drop table if exists chaos.published;
       create table chaos.published (
         seq integer primary key, event_id uuid, position bigint, aggregatetype text, aggregateid text, type text)`,
    );
    await pool.query(
      `insert into chaos.published
       select row_number() over (order by n), id::uuid, position::bigint, aggregatetype, aggregateid, type
       from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
         with ordinality as t (id, position, aggregatetype, aggregateid, type, n)`,
      (['id', 'position', 'aggregateType', 'aggregateId', 'type'] as const).map((field) =>
        this.accepted.map((event) => String(event[field])),
      ),
    );
  }

  #isRefused({ aggregateType, aggregateId }: WireEvent): boolean {
    return aggregateType === 'account' && aggregateId === this.refusal?.aggregateId;
  }
}

export async function startBroker(): Promise<Broker> {
  const log = new BrokerLog();
  const server = createServer((request, response) => {
    void json(request).then(
      (events) => {
        const answer = log.take(events as WireEvent[]);
        response.statusCode = answer === null ? 200 : 422;
        response.end(JSON.stringify(answer ?? {}));
      },
      () => response.destroy(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    refuse: (refusal) => log.refuse(refusal),
    get sinceRefusal() {
      return log.sinceRefusal;
    },
    store: (pool) => log.store(pool),
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
