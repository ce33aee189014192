/**
 * A simulated broker for the outbox of a chaos run. It records the order in which it accepted events, and can refuse the
 * events of one aggregate.
 *
 * @module
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import type { Pool } from 'pg';
import type { PublishedEvent } from '../../src/core/published-event.ts';

/**
 * `named`: the answer names the rejected event. `whole`: a batch with such an event is rejected without naming the event.
 */
export type Refusal = { aggregateId: string; how: 'named' | 'whole' };

/** The fields that the broker uses of an event that it received as JSON. */
export type WireEvent = Pick<PublishedEvent, 'id' | 'position' | 'aggregateType' | 'aggregateId' | 'type'>;

/** The broker without its HTTP server. */
export class Broker {
  readonly accepted: WireEvent[] = [];
  refusal: Refusal | null = null;
  /** Rejected events of the refused aggregate, and accepted events of other aggregates, since `refuse` was called. */
  sinceRefusal = { rejected: 0, acceptedOfOthers: 0 };

  /** @returns null if all events were accepted; otherwise the rejected ids, or undefined if the broker does not name them */
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
    // Names only the first one: later events of its aggregate count as not sent.
    return refused.length === 0 ? null : { rejected: [refused[0]!.id] };
  }

  /** Refuses the events of one aggregate until it is called with null. */
  refuse(refusal: Refusal | null): void {
    this.refusal = refusal;
    this.sinceRefusal = { rejected: 0, acceptedOfOthers: 0 };
  }

  /** Writes the accepted events to `chaos.published`, which the invariants join with the outbox. */
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

export interface BrokerServer {
  broker: Broker;
  url: string;
  stop(): Promise<void>;
}

export async function startBrokerServer(): Promise<BrokerServer> {
  const broker = new Broker();
  const server = createServer((request, response) => {
    void json(request).then(
      (events) => {
        const answer = broker.take(events as WireEvent[]);
        response.statusCode = answer === null ? 200 : 422;
        response.end(JSON.stringify(answer ?? {}));
      },
      () => response.destroy(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    broker,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
