import cliProgress from 'cli-progress';
import type { Command } from 'commander';
import { ConfigurationError, InboxError } from '../../core/errors.ts';
import { prune } from '../../retention/retention.ts';
import type { PruneReport } from '../../retention/retention.ts';
import type { PruneProgress, PruneStep } from '../../retention/table-walk.ts';
import { withPool } from '../shared/context.ts';
import { parseAge, wholeNumber } from '../shared/option-values.ts';
import { answer, isJson, printFields } from '../shared/output.ts';
import { canRedraw } from '../shared/terminal.ts';

interface Options {
  olderThan?: number;
  outboxOlderThan?: number;
  deadLettersOlderThan?: number;
  batch: number;
  dryRun?: boolean;
}

const STEPS: Record<PruneStep, string> = {
  entries: 'entries',
  deadLetters: 'dead letters',
  alerts: 'alerts',
  outbox: 'outbox',
};

export function addPrune(program: Command): void {
  const command = program.command('prune');
  command
    .description('delete the data of what is over; message ids stay, so a duplicate stays a duplicate')
    .option(
      '--older-than <age>',
      'payload, metadata and result of entries completed longer ago, such as 30d (default: INBOX_RETENTION)',
      parseAge,
    )
    .option('--outbox-older-than <age>', 'also delete outbox rows published longer ago', parseAge)
    .option(
      '--dead-letters-older-than <age>',
      'also delete dead letters replayed, and empty those discarded, longer ago',
      parseAge,
    )
    .option('--batch <n>', 'rows at once', wholeNumber(1, 10_000), 1_000)
    .option('--dry-run', 'count what would go, and change nothing')
    .action((options: Options) => runPrune(options, options.olderThan ?? retentionSetting(command)));
}

/** What is deleted stays deleted, so there is no age that nobody has chosen. */
function retentionSetting(command: Command): number {
  const text = process.env['INBOX_RETENTION']?.trim();
  if (!text) {
    command.error(
      'error: prune deletes data, so it has no default age: give one, as in `inbox prune --older-than 30d`, or set ' +
        'INBOX_RETENTION=30d; add --dry-run to see first what would go',
      { exitCode: 2 },
    );
  }
  try {
    return parseAge(text);
  } catch {
    throw new ConfigurationError(
      `INBOX_RETENTION (${JSON.stringify(text)}) is not a duration with a unit, such as 30d`,
    );
  }
}

async function runPrune(options: Options, completedOlderThanMs: number): Promise<void> {
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
        completedOlderThanMs,
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
    answer(report, () => printReport(report, options));
    if (report.interrupted) {
      throw new InboxError(`stopped by ${stoppedBy} before all was done; the next run goes on from here`);
    }
  } finally {
    bar.stop();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function printReport(report: PruneReport, { outboxOlderThan, deadLettersOlderThan }: Options): void {
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
  if (!canRedraw(process.stderr) || isJson()) return { update() {}, stop() {} };
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
