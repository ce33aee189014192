/**
 * Tells growth from noise in what a soak has sampled.
 *
 * @module
 */

export interface SoakSample {
  /** Since the beginning. */
  minutes: number;
  workerMegabytes: number;
  workerFiles: number;
  relayMegabytes: number;
  relayFiles: number;
  /** Sessions of the worker and the relay in Postgres. */
  connections: number;
  /** Sessions idle in a transaction for more than a second. */
  idleInTransaction: number;
  liveTuples: number;
  deadTuples: number;
  /** All tables of the inbox with their indexes. */
  tableMegabytes: number;
}

export interface SoakFinding {
  what: keyof SoakSample;
  /** Of the second quarter, and of the last: the first quarter is warm-up. */
  early: number;
  late: number;
  /** Least squares, over all but the warm-up. */
  growthAnHour: number;
  /** The most that `late` may be. */
  limit: number;
  holds: boolean;
}

/** Of open files and connections: some open and close all the time. */
const FILES_MORE = 5;
/** What Postgres itself lets lie before it vacuums: a fifth of the rows and 50, in each of some seven tables. */
const AUTOVACUUM_SHARE = 0.2;
const AUTOVACUUM_FLOOR = 7 * 50;

export function judgeSoak(samples: readonly SoakSample[]): SoakFinding[] {
  if (samples.length < 8) throw new RangeError(`${samples.length} samples say nothing; it takes at least 8`);
  const quarter = Math.floor(samples.length / 4);
  const warm = samples.slice(quarter);
  const early = samples.slice(quarter, 2 * quarter);
  const late = samples.slice(-quarter);
  const compare = (
    what: keyof SoakSample,
    measure: (values: number[]) => number,
    limit: (early: number) => number,
  ): SoakFinding => {
    const before = measure(early.map((sample) => sample[what]));
    const after = measure(late.map((sample) => sample[what]));
    const most = limit(before);
    return {
      what,
      early: before,
      late: after,
      growthAnHour: 60 * slope(warm.map((sample) => [sample.minutes, sample[what]])),
      limit: most,
      holds: after <= most,
    };
  };
  const vacuumed = AUTOVACUUM_FLOOR + AUTOVACUUM_SHARE * Math.max(...late.map((sample) => sample.liveTuples));
  return [
    // The heap of Node breathes: the median of minutes does not.
    compare('workerMegabytes', median, (megabytes) => 1.1 * megabytes),
    compare('workerFiles', max, (files) => files + FILES_MORE),
    compare('relayMegabytes', median, (megabytes) => 1.1 * megabytes),
    compare('relayFiles', max, (files) => files + FILES_MORE),
    compare('connections', max, (connections) => connections + FILES_MORE),
    compare('idleInTransaction', max, () => 0),
    compare('deadTuples', max, (tuples) => Math.max(1.5 * tuples, 2 * vacuumed)),
  ];
}

export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const max = (values: number[]) => Math.max(...values);

/** Of the straight line that fits best. */
function slope(points: [x: number, y: number][]): number {
  const mean = (index: 0 | 1) => points.reduce((sum, point) => sum + point[index], 0) / points.length;
  const [x0, y0] = [mean(0), mean(1)];
  const above = points.reduce((sum, [x, y]) => sum + (x - x0) * (y - y0), 0);
  const below = points.reduce((sum, [x]) => sum + (x - x0) ** 2, 0);
  return below === 0 ? 0 : above / below;
}

export function describeSoak(findings: readonly SoakFinding[]): string {
  const row = ({ what, early, late, growthAnHour, limit, holds }: SoakFinding) =>
    `| ${what} | ${round(early)} | ${round(late)} | ${round(growthAnHour)} | ${round(limit)} | ${holds ? 'holds' : 'GROWS'} |`;
  return [
    '| what | second quarter | last quarter | growth an hour | limit | |',
    '| --- | --- | --- | --- | --- | --- |',
    ...findings.map(row),
  ].join('\n');
}

const round = (value: number) => String(Math.round(value * 10) / 10);
