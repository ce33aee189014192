/**
 * An outbox relay as a process of its own, to a simulated broker that takes every event at once:
 * `node soak-relay.js <database>`.
 *
 * @module
 */
import { createOutboxRelay } from '../../src/outbox-relay.ts';

const relay = createOutboxRelay({ databaseUrl: process.argv[2]!, publish: async () => {} });
process.once('SIGTERM', () => relay.stop());
await relay.run();
