/**
 * Tells growth from noise in what a soak has sampled.
 *
 * @module
 */

/** What was measured at one time: `minutes` since the beginning, and one number a figure (see `soak-sample.ts`). */
export interface SoakSample {
  minutes: number;
  [figure: string]: number;
}

export interface SoakFinding {
  what: string;
  /** Of the first third after the warm-up, and of the last. */
  early: number;
  late: number;
  /** Least squares, over all but the warm-up. */
  growthAnHour: number;
  /** The most that `late` may be. */
  limit: number;
  holds: boolean;
}

interface Rule {
  figures: RegExp;
  measure: (values: number[]) => number;
  /** @param live - rows in the figure's table, where it is of a table */
  limit: (early: number, live: number) => number;
  /** The shortest third that says something. */
  leastMinutes?: number;
}

export const FEWEST_SAMPLES = 8;
const LEAST_WARM_UP_MINUTES = 10;
/** Megabytes of a heap that is small: a tenth of it is no growth. */
const HEAP_MORE = 4;
/** Of open files and sessions: some open and close all the time. */
const FILES_MORE = 5;
/** Sampled every 10 s: a transaction that somebody left open has been idle for longer in the next sample. */
const IDLE_SECONDS = 10;
/** Postgres looks once a minute for what to vacuum: a shorter time sees where in its round it was. */
const VACUUM_MINUTES = 5;
/** Of a table that holds only what is recent: its rows follow the load of the last minutes. */
const RECENT_ROWS_MORE = 1_000;

const RULES: readonly Rule[] = [
  // What a garbage collector holds breathes: the median of minutes does not.
  {
    figures: /_heap_megabytes$/,
    measure: median,
    limit: (early) => Math.max(1.1 * early, early + HEAP_MORE),
  },
  { figures: /_megabytes$/, measure: median, limit: (early) => 1.1 * early },
  { figures: /_files$|^sessions_/, measure: max, limit: (early) => early + FILES_MORE },
  { figures: /^idle_seconds$/, measure: max, limit: () => IDLE_SECONDS },
  {
    figures: /_dead$/,
    measure: max,
    // Postgres vacuums a table when a fifth of its rows and 50 are dead; a busy machine lets it come late.
    limit: (early, live) => Math.max(1.5 * early, 2 * (50 + 0.2 * live)),
    leastMinutes: VACUUM_MINUTES,
  },
  { figures: /^(outbox|retention|retention_left)_live$/, measure: max, limit: recentRows },
  // Postgres gives no room back, so the most it took is what it has.
  {
    figures: /^outbox_kilobytes$/,
    measure: max,
    limit: (early) => 1.5 * early,
    leastMinutes: VACUUM_MINUTES,
  },
];

/**
 * A line for each figure that has a rule, and time enough for it; the others are there to be looked at. Tables take a run of
 * twenty-five minutes.
 *
 * The first quarter is warm-up, and at least ten minutes of a run that has twenty. A transaction left open counts
 * whenever it was.
 *
 * @throws RangeError for fewer than {@link FEWEST_SAMPLES} samples
 */
export function judgeSoak(samples: readonly SoakSample[]): SoakFinding[] {
  if (samples.length < FEWEST_SAMPLES) {
    throw new RangeError(`${samples.length} samples say nothing; it takes at least ${FEWEST_SAMPLES}`);
  }
  const warm = samples.slice(countWarmUp(samples));
  const third = Math.floor(warm.length / 3);
  const thirdMinutes = (warm.at(-1)!.minutes - warm[0]!.minutes) / 3;
  const figures = Object.keys(Object.assign({}, ...samples) as SoakSample);
  return figures.flatMap((what) => {
    const rule = RULES.find((candidate) => candidate.figures.test(what));
    if (!rule || thirdMinutes < (rule.leastMinutes ?? 0)) return [];
    const valuesOf = (some: readonly SoakSample[]) => some.map((sample) => sample[what] ?? 0);
    const early = rule.measure(valuesOf(warm.slice(0, third)));
    const late = rule.measure(valuesOf(what === 'idle_seconds' ? samples : warm.slice(-third)));
    const live = max(warm.slice(-third).map((sample) => sample[what.replace(/_dead$/, '_live')] ?? 0));
    const limit = rule.limit(early, live);
    const points = warm.map((sample): [number, number] => [sample.minutes, sample[what] ?? 0]);
    return [{ what, early, late, growthAnHour: 60 * slope(points), limit, holds: late <= limit }];
  });
}

function countWarmUp(samples: readonly SoakSample[]): number {
  const quarter = Math.floor(samples.length / 4);
  const isLong = samples.at(-1)!.minutes >= 2 * LEAST_WARM_UP_MINUTES;
  const least = samples.findIndex(({ minutes }) => minutes >= LEAST_WARM_UP_MINUTES);
  return isLong ? Math.max(quarter, least) : quarter;
}

export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function max(values: number[]): number {
  return Math.max(...values);
}

function recentRows(early: number): number {
  return 1.2 * early + RECENT_ROWS_MORE;
}

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
    '| what | after warm-up | at the end | growth an hour | limit | |',
    '| --- | --- | --- | --- | --- | --- |',
    ...findings.map(row),
  ].join('\n');
}

const round = (value: number) => String(Math.round(value * 10) / 10);
