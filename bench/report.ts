/**
 * Tables of the measurements, and the ratios for which the project has goals.
 *
 * @module
 */
import type { Case, Group } from './cases.ts';
import type { Measurement } from './measure.ts';
import { median, quantile } from './statistics.ts';

/** The measurements of each case by its id, one per round. */
export type Results = Map<string, Measurement[]>;

export const TITLES: Record<Group, string> = {
  lanes: 'One workflow per command',
  express: 'Express commands, and other systems',
  latency: 'One command at a time',
  workers: 'Several workers, draining a backlog',
  history: 'A large table, draining a backlog',
  memory: 'Memory of the worker',
  telemetry: 'The cost of traces and metrics',
};

interface Goal {
  text: string;
  of: string;
  to: string | readonly string[];
  figure: 'rate' | 'fromCall' | 'fromCommit' | 'memory' | 'cpu';
  target: { atLeast: number } | { atMost: number };
}

const PEERS = ['graphile', 'pgboss', 'dbos', 'restate'];

const GOALS: readonly Goal[] = [
  { text: 'sent (A), steady / floor', of: 'a-steady', to: 'floor', figure: 'rate', target: { atLeast: 0.9 } },
  {
    text: 'sent (A), backlog / floor',
    of: 'a-backlog',
    to: 'floor',
    figure: 'rate',
    target: { atLeast: 0.9 },
  },
  {
    text: 'sent (A), burst / steady',
    of: 'a-burst',
    to: 'a-steady',
    figure: 'rate',
    target: { atLeast: 0.9 },
  },
  {
    text: 'recorded (A), steady / floor',
    of: 'r-steady',
    to: 'floor',
    figure: 'rate',
    target: { atLeast: 0.9 },
  },
  {
    text: 'recorded (A), backlog / floor',
    of: 'r-backlog',
    to: 'floor',
    figure: 'rate',
    target: { atLeast: 0.9 },
  },
  {
    text: 'recorded (A), burst / steady',
    of: 'r-burst',
    to: 'r-steady',
    figure: 'rate',
    target: { atLeast: 0.9 },
  },
  {
    text: 'recorded (A) / three activities',
    of: 'r-steady',
    to: 'three',
    figure: 'rate',
    target: { atLeast: 5 },
  },
  {
    text: 'latency, recorded (A), COMMIT to Completed / floor, start to end',
    of: 'r-latency',
    to: 'floor-latency',
    figure: 'fromCommit',
    target: { atMost: 1.5 },
  },
  { text: 'started (B) / floor', of: 'b-steady', to: 'floor', figure: 'rate', target: { atLeast: 0.9 } },
  {
    text: 'sent (A) / three activities',
    of: 'a-steady',
    to: 'three',
    figure: 'rate',
    target: { atLeast: 5 },
  },
  {
    text: 'latency, sent (A), COMMIT to Completed / floor, start to end',
    of: 'a-latency',
    to: 'floor-latency',
    figure: 'fromCommit',
    target: { atMost: 1.5 },
  },
  {
    text: 'express / best of the others',
    of: 'express',
    to: PEERS,
    figure: 'rate',
    target: { atLeast: 1.5 },
  },
  { text: 'express / hand-written', of: 'express', to: 'hand', figure: 'rate', target: { atLeast: 0.4 } },
  {
    text: 'latency, express / graphile-worker',
    of: 'express-latency',
    to: 'graphile-latency',
    figure: 'fromCall',
    target: { atMost: 1 },
  },
  {
    text: 'workflow mode, CPU of node, 2 workers / 1',
    of: 'a-2',
    to: 'a-1',
    figure: 'cpu',
    target: { atMost: 1.1 },
  },
  {
    text: 'workflow mode, CPU of node, 4 workers / 1',
    of: 'a-4',
    to: 'a-1',
    figure: 'cpu',
    target: { atMost: 1.1 },
  },
  {
    text: 'express, CPU of node, 2 workers / 1',
    of: 'express-2',
    to: 'express-1',
    figure: 'cpu',
    target: { atMost: 1.1 },
  },
  {
    text: 'express, CPU of node, 4 workers / 1',
    of: 'express-4',
    to: 'express-1',
    figure: 'cpu',
    target: { atMost: 1.1 },
  },
  {
    text: 'workflow mode, large table / empty',
    of: 'a-full',
    to: 'a-empty',
    figure: 'rate',
    target: { atLeast: 0.95 },
  },
  {
    text: 'express, large table / empty',
    of: 'express-full',
    to: 'express-empty',
    figure: 'rate',
    target: { atLeast: 0.95 },
  },
  {
    text: 'workflow mode, memory at the end / after 10,000',
    of: 'a-memory-late',
    to: 'a-memory-early',
    figure: 'memory',
    target: { atMost: 1.1 },
  },
  {
    text: 'express, memory at the end / after 10,000',
    of: 'express-memory-late',
    to: 'express-memory-early',
    figure: 'memory',
    target: { atMost: 1.1 },
  },
];

export const summarize = (values: readonly number[]) => ({
  median: median(values),
  p99: quantile(values, 0.99),
});

function figure(measured: Measurement, which: Goal['figure'], sender: boolean): number {
  const { rate, memory, cpu, latencies } = measured;
  switch (which) {
    case 'rate':
      return rate;
    case 'memory':
      return memory;
    case 'cpu':
      return cpu.node;
    case 'fromCall':
      return median(latencies.fromCall);
    case 'fromCommit':
      // A workflow that is started directly has no COMMIT before it, so its time is measured from the call.
      return median(sender ? latencies.fromAnswer : latencies.fromCall);
  }
}

/** Returns the report as Markdown. */
export function renderReport(cases: readonly Case[], results: Results): string {
  const groups = [...new Set(cases.map(({ group }) => group))];
  const tables = groups.map((group) =>
    renderGroup(
      group,
      cases.filter((item) => item.group === group),
      results,
    ),
  );
  return [...tables, renderGoals(results)].join('\n');
}

function renderGroup(group: Group, cases: readonly Case[], results: Results): string {
  const head =
    group === 'latency'
      ? '| system | from the call to send, median ms | p99 | from its answer, median ms | p99 |\n| --- | --- | --- | --- | --- |'
      : '| system | commands/s | CPU ms per command: node | server | Postgres | memory MB |\n| --- | --- | --- | --- | --- | --- |';
  const rows = cases.map(({ id, label }) => {
    const measured = results.get(id) ?? [];
    const cells = group === 'latency' ? latencyCells(measured) : rateCells(measured);
    return `| ${[label, ...cells].join(' | ')} |`;
  });
  return `### ${TITLES[group]}\n\n${head}\n${rows.join('\n')}\n`;
}

const fixed = (value: number, digits: number) => (Number.isNaN(value) ? '-' : value.toFixed(digits));

function rateCells(measured: readonly Measurement[]): string[] {
  const middle = (pick: (one: Measurement) => number) => median(measured.map(pick));
  return [
    Math.round(middle(({ rate }) => rate)).toLocaleString('en'),
    fixed(
      middle(({ cpu }) => cpu.node),
      2,
    ),
    fixed(
      middle(({ cpu }) => cpu.server),
      2,
    ),
    fixed(
      middle(({ cpu }) => cpu.postgres),
      2,
    ),
    fixed(
      middle(({ memory }) => memory),
      0,
    ),
  ];
}

function latencyCells(measured: readonly Measurement[]): string[] {
  return (['fromCall', 'fromAnswer'] as const).flatMap((which) =>
    (['median', 'p99'] as const).map((statistic) =>
      fixed(median(measured.map(({ latencies }) => summarize(latencies[which])[statistic])), 2),
    ),
  );
}

/** Returns the goal's ratio in each round. The median decides whether the goal is met. */
export function ratiosOf(goal: Goal, results: Results): number[] {
  const numerators = results.get(goal.of) ?? [];
  const denominators = [goal.to].flat().map((id) => results.get(id) ?? []);
  if (denominators.every((measured) => measured.length === 0)) return [];
  return numerators.map((measured, round) => {
    const others = denominators.flatMap((rounds) =>
      rounds[round] ? [figure(rounds[round], goal.figure, false)] : [],
    );
    return figure(measured, goal.figure, true) / Math.max(...others);
  });
}

function renderGoals(results: Results): string {
  const rows = GOALS.flatMap((goal) => {
    const ratios = ratiosOf(goal, results);
    if (ratios.length === 0) return [];
    const middle = median(ratios);
    const target = 'atLeast' in goal.target ? `>= ${goal.target.atLeast}` : `<= ${goal.target.atMost}`;
    const met = 'atLeast' in goal.target ? middle >= goal.target.atLeast : middle <= goal.target.atMost;
    const rounds = ratios.map((ratio) => ratio.toFixed(2)).join(', ');
    return [`| ${goal.text} | ${middle.toFixed(2)} | ${rounds} | ${target} | ${met ? 'met' : 'missed'} |`];
  });
  if (rows.length === 0) return '';
  return `### Ratios\n\n| ratio | median | rounds | goal | |\n| --- | --- | --- | --- | --- |\n${rows.join('\n')}\n`;
}
