/**
 * The broker refuses the events of one aggregate for a while. Events of all other aggregates must still get through.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ACCOUNTS } from './bank.ts';
import type { Fault, Scene } from './fault.ts';
import type { Random } from './random.ts';

export const BROKER_FAULTS: Record<string, Fault> = {
  'broker refuses one aggregate': { weight: 6, run: refuseOne },
};

/** A killed relay still holds its lease for 15 s, and the next worker has to start. */
const OTHERS_LIMIT_MS = 60_000;

async function refuseOne({ broker, reportViolation, count }: Scene, random: Random): Promise<boolean> {
  const refusal = {
    aggregateId: String(random.below(ACCOUNTS)),
    how: random.pick(['named', 'whole'] as const),
  };
  broker.refuse(refusal);
  const begun = Date.now();
  try {
    await sleep(3_000 + random.below(9_000));
    // Once an event was rejected, events of other accounts must be accepted.
    while (broker.sinceRefusal.rejected > 0 && broker.sinceRefusal.acceptedOfOthers === 0) {
      if (Date.now() - begun > OTHERS_LIMIT_MS) {
        const example = { refusal, ...broker.sinceRefusal };
        reportViolation('15e a refused aggregate holds back no other aggregate', example);
        break;
      }
      await sleep(100);
    }
    const { rejected, acceptedOfOthers } = broker.sinceRefusal;
    count('rejections by the broker', rejected);
    count('events of other aggregates accepted meanwhile', acceptedOfOthers);
    return rejected > 0;
  } finally {
    broker.refuse(null);
  }
}
