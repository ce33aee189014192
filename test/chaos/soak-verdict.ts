/**
 * Distinguishes growth from noise in the samples of a soak.
 *
 * @module
 */

/** One measurement: `minutes` since the beginning, and a number for each figure (see `soak-sample.ts`). */
export interface SoakSample {
  minutes: number;
  [figure: string]: number;
}

export interface SoakFinding {
  what: string;
  /** The values of the first third and of the last third after the warm-up. */
  early: number;
  late: number;
  /** The slope of a least-squares fit to everything after the warm-up. */
  growthPerHour: number;
  /** The highest value allowed for `late`. */
  limit: number;
  holds: boolean;
}

interface Rule {
  figures: RegExp;
  measure: (values: number[]) => number;
  /** @param live - live rows of the figure's table, if the figure belongs to a table */
  limit: (early: number, live: number) => number;
  /** The figure is only judged if a third of the samples takes at least this long. */
  leastMinutes?: number;
}

export const MINIMUM_SAMPLES = 8;
const MINIMUM_WARM_UP_MINUTES = 10;
/** Allowed growth of a small heap, in megabytes: a tenth of a small heap would be too strict. */
const HEAP_TOLERANCE = 4;
/** Allowed growth of open files and sessions, because some are opened and closed all the time. */
const FILES_TOLERANCE = 5;
/** There is a sample every 10 s, so a transaction that was left open has been idle for longer in one of the next samples. */
const IDLE_SECONDS = 10;
/** Autovacuum looks for work once a minute. In a shorter time, the numbers depend on where in its round it was. */
const VACUUM_MINUTES = 5;
/** Allowed growth of a table that contains only recent rows, whose number follows the load of the last minutes. */
const RECENT_ROWS_TOLERANCE = 1_000;

const RULES: readonly Rule[] = [
  // The size of a garbage-collected heap goes up and down, but its median over minutes does not.
  {
    figures: /_heap_megabytes$/,
    measure: median,
    limit: (early) => Math.max(1.1 * early, early + HEAP_TOLERANCE),
  },
  { figures: /_megabytes$/, measure: median, limit: (early) => 1.1 * early },
  { figures: /_files$|^sessions_/, measure: max, limit: (early) => early + FILES_TOLERANCE },
  { figures: /^idle_seconds$/, measure: max, limit: () => IDLE_SECONDS },
  {
    figures: /_dead$/,
    measure: max,
    // Autovacuum is due when 50 rows plus a fifth of the rows are dead. On a busy machine it comes later.
    limit: (early, live) => Math.max(1.5 * early, 2 * (50 + 0.2 * live)),
    leastMinutes: VACUUM_MINUTES,
  },
  { figures: /^(outbox|retention|retention_left)_live$/, measure: max, limit: recentRows },
  // Postgres does not return space, so the largest size is also the current one.
  {
    figures: /^outbox_kilobytes$/,
    measure: max,
    limit: (early) => 1.5 * early,
    leastMinutes: VACUUM_MINUTES,
  },
];

/**
 * Judges each figure that has a rule, if the run is long enough for that rule. The other figures are only recorded. Figures
 * of tables need a run of 25 minutes.
 *
 * The first quarter of a run is warm-up. In a run of at least 20 minutes, the warm-up is at least 10 minutes. A transaction
 * that was left open counts at any time, also during the warm-up.
 *
 * @throws RangeError for fewer than {@link MINIMUM_SAMPLES} samples
 */
export function judgeSoak(samples: readonly SoakSample[]): SoakFinding[] {
  if (samples.length < MINIMUM_SAMPLES) {
    throw new RangeError(
      `${samples.length} samples are too few to judge; at least ${MINIMUM_SAMPLES} are needed`,
    );
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
    return [{ what, early, late, growthPerHour: 60 * slope(points), limit, holds: late <= limit }];
  });
}

function countWarmUp(samples: readonly SoakSample[]): number {
  const quarter = Math.floor(samples.length / 4);
  const isLong = samples.at(-1)!.minutes >= 2 * MINIMUM_WARM_UP_MINUTES;
  const minimum = samples.findIndex(({ minutes }) => minutes >= MINIMUM_WARM_UP_MINUTES);
  return isLong ? Math.max(quarter, minimum) : quarter;
}

export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function max(values: number[]): number {
  return Math.max(...values);
}

function recentRows(early: number): number {
  return 1.2 * early + RECENT_ROWS_TOLERANCE;
}

/** The slope of the straight line that fits best. */
function slope(points: [x: number, y: number][]): number {
  const mean = (index: 0 | 1) => points.reduce((sum, point) => sum + point[index], 0) / points.length;
  const [x0, y0] = [mean(0), mean(1)];
  const above = points.reduce((sum, [x, y]) => sum + (x - x0) * (y - y0), 0);
  const below = points.reduce((sum, [x]) => sum + (x - x0) ** 2, 0);
  return below === 0 ? 0 : above / below;
}

export function describeSoak(findings: readonly SoakFinding[]): string {
  const row = ({ what, early, late, growthPerHour, limit, holds }: SoakFinding) =>
    `| ${what} | ${round(early)} | ${round(late)} | ${round(growthPerHour)} | ${round(limit)} | ${holds ? 'holds' : 'GROWS'} |`;
  return [
    '| what | after warm-up | at the end | growth per hour | limit | |',
    '| --- | --- | --- | --- | --- | --- |',
    ...findings.map(row),
  ].join('\n');
}

const round = (value: number) => String(Math.round(value * 10) / 10);
