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
    .description('Delete old data; message ids are kept, so duplicates are still detected')
    .option(
      '--older-than <age>',
      'Delete payload, metadata and result of entries completed longer ago than this, such as 30d (default: ' +
        'INBOX_RETENTION; one of the two is required)',
      parseAge,
    )
    .option(
      '--outbox-older-than <age>',
      'Also delete outbox rows published longer ago than this, such as 7d (default: keep them)',
      parseAge,
    )
    .option(
      '--dead-letters-older-than <age>',
      'Also delete replayed dead letters, payloads of discarded ones, and ended alerts that are older than this, such as 90d ' +
        '(default: keep them)',
      parseAge,
    )
    .option(
      '--batch <n>',
      'Maximum number of rows per transaction, 1 to 10000',
      wholeNumber(1, 10_000),
      1_000,
    )
    .option('--dry-run', 'Only count what would be deleted')
    .action((options: Options) => runPrune(options, options.olderThan ?? retentionSetting(command)));
}

/** Deleting cannot be undone, so there is no default age. */
function retentionSetting(command: Command): number {
  const text = process.env['INBOX_RETENTION']?.trim();
  if (!text) {
    command.error(
      'error: prune deletes data, so it has no default age: give one, as in `inbox prune --older-than 30d`, or set ' +
        'INBOX_RETENTION=30d; add --dry-run to see what would be deleted',
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
  // A second signal ends the process at once, which is also safe.
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
      throw new InboxError(
        `stopped by ${stoppedBy} before everything was pruned; run the same command again to continue`,
      );
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

/** Shows a progress bar on a terminal, and nothing in a log. */
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
