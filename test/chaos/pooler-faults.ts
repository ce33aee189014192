/**
 * Kills PgBouncer, or suspends it for some seconds.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from './fault.ts';

export const POOLER_FAULTS: Record<string, Fault> = {
  'PgBouncer killed': {
    weight: 5,
    async run({ pooler }, random) {
      if (pooler === null) return false;
      pooler.kill('SIGKILL');
      await sleep(random.below(4_000));
      await pooler.restart();
      return true;
    },
  },
  'PgBouncer suspended for seconds': {
    weight: 4,
    async run({ pooler }, random) {
      if (pooler === null) return false;
      pooler.kill('SIGSTOP');
      await sleep(1_000 + random.below(8_000));
      pooler.kill('SIGCONT');
      return true;
    },
  },
};
