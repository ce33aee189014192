/**
 * A faulty publisher that never finishes and ignores its signal.
 *
 * @module
 */
import type { Publisher } from '../../src/core/published-event.ts';

const publisher: Publisher = {
  async publish(events) {
    process.stderr.write(`stuck with ${events.length} events\n`);
    await new Promise(() => {});
  },
  async close() {
    process.stderr.write('publisher closed\n');
  },
};

export default publisher;
