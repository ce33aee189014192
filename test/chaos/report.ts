/**
 * The report of a chaos run, and the sum of several reports.
 *
 * @module
 */
import { FAULTS } from './faults.ts';
import type { LoadCounts } from './load.ts';
import type { Recovery } from './recovery.ts';

export interface ChaosReport {
  seed: number;
  workers: number;
  /** Time under faults, without the recoveries. */
  stormMinutes: number;
  faults: Record<string, number>;
  workerDeaths: number;
  temporalLostDatabase: number;
  commitsCut: number;
  commitsHeld: number;
  /** Numbers that the faults and the checks have counted, by description. */
  figures: Record<string, number>;
  /** The releases that ran at the same time. */
  releases: string[];
  load: LoadCounts;
  replayedAtTheEnd: number;
  recoveries: Recovery[];
  checks: number;
  /** In all checks of all invariants. */
  violations: number;
}

export function addReports(reports: readonly ChaosReport[]): string {
  const sum = (pick: (report: ChaosReport) => number) =>
    reports.reduce((total, report) => total + pick(report), 0);
  const recoveries = reports.flatMap((report) => report.recoveries);
  const open = recoveries.reduce((total, recovery) => total + recovery.open, 0);
  const soon = recoveries.reduce((total, recovery) => total + recovery.endedWithin30s, 0);
  const slowest = recoveries.some(({ seconds }) => seconds === null)
    ? 'never'
    : `${Math.max(0, ...recoveries.map(({ seconds }) => seconds!))} s`;
  const rows: [string, number | string][] = [
    ['seeds', reports.map(({ seed, workers }) => `${seed} (${workers} workers)`).join(', ')],
    ['minutes under faults', sum(({ stormMinutes }) => stormMinutes).toFixed(0)],
    ['commands', sum(({ load }) => load.commands)],
    ['repeated sends', sum(({ load }) => load.repeats)],
    ['releases', [...new Set(reports.flatMap(({ releases }) => releases))].join(', ')],
    ['sends without an answer', sum(({ load }) => load.unknown)],
    ['sends correctly refused as conflicts', sum(({ load }) => load.conflicts)],
    ...Object.keys(FAULTS).map((name): [string, number] => [name, sum(({ faults }) => faults[name] ?? 0)]),
    ['worker processes that ended', sum(({ workerDeaths }) => workerDeaths)],
    ['Temporal restarted, its database lost', sum(({ temporalLostDatabase }) => temporalLostDatabase)],
    ['COMMITs actually cut', sum(({ commitsCut }) => commitsCut)],
    ['COMMITs actually held back', sum(({ commitsHeld }) => commitsHeld)],
    ...[...new Set(reports.flatMap(({ figures }) => Object.keys(figures)))]
      .sort()
      .map((name): [string, number] => [name, sum(({ figures }) => figures[name] ?? 0)]),
    ['recoveries', recoveries.length],
    ['commands open when the faults stopped', open],
    ['of these ended within 30 s', open === 0 ? '100 %' : `${((100 * soon) / open).toFixed(2)} %`],
    ['the last of these ended after', slowest],
    ['dead letters replayed by the checker', sum(({ replayedAtTheEnd }) => replayedAtTheEnd)],
    ['checks of all invariants', sum(({ checks }) => checks)],
    ['violations', sum(({ violations }) => violations)],
  ];
  return ['| what | count |', '| --- | --- |', ...rows.map(([what, count]) => `| ${what} | ${count} |`)].join(
    '\n',
  );
}
