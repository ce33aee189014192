import cliProgress from 'cli-progress';
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { InboxError } from '../errors.ts';
import { toMilliseconds } from '../registry.ts';
import { prune } from '../retention.ts';
import type { PruneReport } from '../retention.ts';
import type { PruneProgress, PruneStep } from '../retention-walk.ts';
import { withPool } from './context.ts';
import { printFields, printJson } from './output.ts';

interface Options {
  olderThan: number;
  outboxOlderThan?: number;
  deadLettersOlderThan?: number;
  batch: number;
  dryRun?: boolean;
  json?: boolean;
}

const STEPS: Record<PruneStep, string> = {
  entries: 'entries',
  deadLetters: 'dead letters',
  alerts: 'alerts',
  outbox: 'outbox',
};

export function addPrune(program: Command): void {
  program
    .command('prune')
    .description('take the data of what is over; message ids stay, so a duplicate stays a duplicate')
    .requiredOption(
      '--older-than <age>',
      'payload, metadata and result of entries completed longer ago',
      parseAge,
    )
    .option('--outbox-older-than <age>', 'also delete outbox rows published longer ago', parseAge)
    .option(
      '--dead-letters-older-than <age>',
      'also delete dead letters replayed, and empty those discarded, longer ago',
      parseAge,
    )
    .option('--batch <n>', 'rows at once', parseBatch, 1_000)
    .option('--dry-run', 'count what would go, and change nothing')
    .option('--json', 'JSON on stdout')
    .action(runPrune);
}

async function runPrune(options: Options): Promise<void> {
  const stop = new AbortController();
  let stoppedBy = '';
  const onSignal = (signal: NodeJS.Signals) => {
    stoppedBy = signal;
    stop.abort();
  };
  // The second one ends the process at once, which is no harm either.
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  const bar = showBar();
  try {
    const report = await withPool((pool) =>
      prune(pool, {
        completedOlderThanMs: options.olderThan,
        ...(options.outboxOlderThan !== undefined && { outboxOlderThanMs: options.outboxOlderThan }),
        ...(options.deadLettersOlderThan !== undefined && {
          deadLettersOlderThanMs: options.deadLettersOlderThan,
        }),
        batchSize: options.batch,
        dryRun: options.dryRun ?? false,
        onProgress: bar.update,
        signal: stop.signal,
      }),
    );
    bar.stop();
    printReport(report, options);
    if (report.interrupted) {
      throw new InboxError(`stopped by ${stoppedBy} before all was done; the next run goes on from here`);
    }
  } finally {
    bar.stop();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function printReport(report: PruneReport, { outboxOlderThan, deadLettersOlderThan, json }: Options): void {
  if (json) return printJson(report);
  const verb = report.dryRun ? 'would be ' : '';
  printFields([
    [STEPS.entries, `${report.entries} ${verb}emptied`],
    [
      STEPS.deadLetters,
      deadLettersOlderThan === undefined ? null : `${report.deadLetters} ${verb}deleted or emptied`,
    ],
    [STEPS.alerts, deadLettersOlderThan === undefined ? null : `${report.alerts} ${verb}deleted`],
    [STEPS.outbox, outboxOlderThan === undefined ? null : `${report.outbox} ${verb}deleted`],
  ]);
}

/** On a terminal only: a nightly run's log has no use for it. */
function showBar(): { update: (progress: PruneProgress) => void; stop: () => void } {
  if (!process.stderr.isTTY) return { update() {}, stop() {} };
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format: '{bar} {percentage}%  {step}  {count}',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
  });
  bar.start(1, 0, { step: STEPS.entries, count: 0 });
  return {
    update: ({ step, counts, fraction }) => bar.update(fraction, { step: STEPS[step], count: counts[step] }),
    stop: () => bar.stop(),
  };
}

/** A bare number would be milliseconds, and `--older-than 30` would take everything. */
function parseAge(text: string): number {
  const ms = /^\d.*[a-z]$/i.test(text.trim()) ? toMilliseconds(text.trim()) : null;
  if (ms === null) throw new InvalidArgumentError('It is a number with a unit, such as 30d, 12h or 1y.');
  return ms;
}

function parseBatch(text: string): number {
  const batch = Number(text);
  if (!Number.isInteger(batch) || batch < 1 || batch > 10_000) {
    throw new InvalidArgumentError('It is a whole number from 1 to 10000.');
  }
  return batch;
}
