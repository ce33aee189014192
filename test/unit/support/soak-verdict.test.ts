import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createRandom } from '../../chaos/random.ts';
import { judgeSoak } from '../../chaos/soak-verdict.ts';
import type { SoakSample } from '../../chaos/soak-verdict.ts';

/** A sample every 10 s: a warm-up of 13 minutes, then noise around a constant level. */
function flatSoak(minutes = 60) {
  const random = createRandom(5);
  const noise = (level: number, spread: number) => level + random.below(2 * spread + 1) - spread;
  return Array.from({ length: 6 * minutes }, (_, index) => {
    const warm = Math.min(1, index / 80);
    return {
      minutes: index / 6,
      worker_megabytes: noise(150 + 100 * warm, 30),
      worker_heap_megabytes: noise(30 + 20 * warm, 8),
      worker_files: noise(60, 2),
      relay_megabytes: noise(90, 10),
      relay_heap_megabytes: noise(8, 1),
      relay_files: noise(30, 1),
      sessions_attempts: noise(8, 2),
      idle_seconds: noise(2, 2),
      // Grows by design: pruning keeps an entry's row.
      entries_live: 10_000 + 100 * index,
      entries_dead: noise(4_000, 3_900),
      entries_kilobytes: 1_000 + 10 * index,
      outbox_live: noise(5_000, 800),
      outbox_dead: noise(1_000, 900),
      outbox_kilobytes: noise(1_700, 100),
      retention_dead: noise(30, 30),
    };
  });
}

function judged(samples: SoakSample[]): string[] {
  return judgeSoak(samples).map(({ what }) => what);
}

function broken(samples: SoakSample[]): string[] {
  return judgeSoak(samples)
    .filter(({ holds }) => !holds)
    .map(({ what }) => what);
}

describe('verdict of a soak', () => {
  it('accepts a noisy hour at a constant level', () => {
    assert.deepEqual(broken(flatSoak()), []);
  });

  it('takes ten minutes as warm-up if a quarter of the run is shorter', () => {
    const samples = flatSoak(24).map((sample) => ({
      ...sample,
      worker_megabytes: 100 + 20 * Math.min(10, sample.minutes),
    }));
    assert.deepEqual(broken(samples), []);
  });

  const growths: [string, number][] = [
    ['worker_megabytes', 80],
    ['worker_heap_megabytes', 25],
    ['worker_files', 20],
    ['relay_megabytes', 30],
    ['relay_heap_megabytes', 15],
    ['relay_files', 15],
    ['sessions_attempts', 20],
    ['entries_dead', 40_000],
    ['outbox_live', 10_000],
    ['outbox_dead', 20_000],
    ['outbox_kilobytes', 4_000],
    ['retention_dead', 600],
  ];
  for (const [what, perHour] of growths) {
    it(`finds ${what} growing by ${perHour} per hour, and nothing else`, () => {
      const samples = flatSoak().map((sample: SoakSample) => ({
        ...sample,
        [what]: sample[what]! + (perHour * sample.minutes) / 60,
      }));
      assert.deepEqual(broken(samples), [what]);
    });
  }

  it('does not judge dead rows in a run that is too short for several rounds of autovacuum', () => {
    assert.ok(!judged(flatSoak(4)).includes('entries_dead'));
    assert.ok(judged(flatSoak(26)).includes('entries_dead'));
  });

  it('calculates the growth per hour', () => {
    const samples = flatSoak().map((sample) => ({ ...sample, relay_files: 2 * sample.minutes }));
    const relayFiles = judgeSoak(samples).find(({ what }) => what === 'relay_files')!;
    assert.equal(Math.round(relayFiles.growthPerHour), 120);
  });

  it('finds sessions that only appear later', () => {
    const samples = flatSoak().map((sample) =>
      sample.minutes < 40 ? sample : { ...sample, sessions_stray: Math.floor(sample.minutes - 40) },
    );
    assert.deepEqual(broken(samples), ['sessions_stray']);
  });

  for (const minute of [1, 25, 40, 59]) {
    it(`finds a transaction left open in minute ${minute}`, () => {
      const samples = flatSoak().map((sample) => ({
        ...sample,
        idle_seconds: Math.floor(sample.minutes) === minute ? 15 : 0,
      }));
      assert.deepEqual(broken(samples), ['idle_seconds']);
    });
  }

  it('throws if there are too few samples', () => {
    assert.throws(() => judgeSoak(flatSoak().slice(0, 7)), /7 samples are too few/);
  });
});
