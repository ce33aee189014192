import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createRandom } from '../chaos/random.ts';
import { judgeSoak } from '../chaos/soak-verdict.ts';
import type { SoakSample } from '../chaos/soak-verdict.ts';

/** An hour, a sample every 10 s: a warm-up, then noise around a level. */
function flatHour(): SoakSample[] {
  const random = createRandom(5);
  const noise = (level: number, spread: number) => level + random.below(2 * spread + 1) - spread;
  return Array.from({ length: 360 }, (_, index) => {
    const warm = Math.min(1, index / 80);
    return {
      minutes: index / 6,
      workerMegabytes: noise(150 + 100 * warm, 30),
      workerFiles: noise(60, 2),
      relayMegabytes: noise(90, 10),
      relayFiles: noise(30, 1),
      connections: noise(25, 2),
      idleInTransaction: 0,
      liveTuples: 40_000,
      deadTuples: noise(4_000, 3_900),
      tableMegabytes: 50,
    };
  });
}

function broken(samples: SoakSample[]): string[] {
  return judgeSoak(samples)
    .filter(({ holds }) => !holds)
    .map(({ what }) => what);
}

describe('verdict of a soak', () => {
  it('finds nothing in a noisy hour that stays where it is', () => {
    assert.deepEqual(broken(flatHour()), []);
  });

  const growths: [keyof SoakSample, number][] = [
    ['workerMegabytes', 80],
    ['workerFiles', 20],
    ['relayMegabytes', 30],
    ['relayFiles', 15],
    ['connections', 20],
    ['deadTuples', 80_000],
  ];
  for (const [what, anHour] of growths) {
    it(`finds ${what} that grow by ${anHour} an hour, and nothing else`, () => {
      const samples = flatHour().map((sample) => ({
        ...sample,
        [what]: sample[what] + (anHour * sample.minutes) / 60,
      }));
      assert.deepEqual(broken(samples), [what]);
    });
  }

  it('finds a transaction that is left open at the end', () => {
    const samples = flatHour().map((sample, index) => ({
      ...sample,
      idleInTransaction: index > 300 ? 1 : 0,
    }));
    assert.deepEqual(broken(samples), ['idleInTransaction']);
  });

  it('refuses to judge a handful of samples', () => {
    assert.throws(() => judgeSoak(flatHour().slice(0, 7)), /7 samples say nothing/);
  });
});
