/**
 * Publishes the outbox's events through a publisher of your own.
 *
 * @module temporal-inbox/outbox
 */
export type { Publish, PublishedEvent, Publisher } from '../core/published-event.ts';
export { createOutboxRelay } from './relay.ts';
export type { OutboxRelay, OutboxRelayOptions } from './relay.ts';
