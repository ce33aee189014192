/**
 * Traces an attempt from its claim until its outcome is recorded.
 *
 * @module
 */
import type { CommandMode } from '../telemetry/traced-attempt.ts';
import { errorTypeOf } from '../telemetry/spans.ts';
import { TracedAttempt } from '../telemetry/traced-attempt.ts';
import { findCampaignOf } from '../store/campaign-items.ts';
import type { Entry } from '../store/entries.ts';
import type { AttemptDependencies } from './dependencies.ts';
import type { FailureReport } from './failure-report.ts';
import type { RecordedFailure } from './record-failure.ts';

/**
 * Runs the attempt in a span. `attempt` ends it with its outcome, unless it throws before it could record one, or finds that
 * another attempt has taken over.
 */
export async function traceAttempt<T>(
  { records, taskQueue }: AttemptDependencies,
  entry: Entry,
  mode: CommandMode,
  attempt: (traced: TracedAttempt) => Promise<T>,
): Promise<T> {
  const traced = new TracedAttempt(entry, { mode, taskQueue });
  try {
    if (entry.generation > 0) await traced.addCampaign(() => findCampaignOf(records, entry));
    return await traced.run(() => attempt(traced));
  } catch (error) {
    traced.end({ outcome: 'unrecorded', errorType: errorTypeOf(error) });
    throw error;
  } finally {
    traced.end({ outcome: 'stale' });
  }
}

/** Ends a failed attempt with what was recorded. Nothing was recorded if another attempt has taken over. */
export function endFailed(
  { trace }: AttemptDependencies,
  traced: TracedAttempt,
  report: FailureReport,
  recorded: RecordedFailure | null,
): void {
  if (!recorded) return;
  traced.end({
    outcome: recorded.kind,
    errorType: report.type,
    ...(recorded.kind === 'dead' && { failureGroup: recorded.failureGroup }),
    ...(trace.errorMessages && { errorMessage: report.message }),
  });
}
