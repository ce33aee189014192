/**
 * Shows a campaign in Temporal: summaries on the timeline, and current details with the commands to run.
 *
 * @module
 */
import { setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import {
  bar,
  failureShare,
  progressText,
  grouped,
  isCanary,
  countRemaining,
  percent,
  nextStep,
} from '../src/core/campaign.ts';
import type { CampaignSnapshot } from '../src/core/campaign.ts';
import { inlineText, summaryLine } from '../src/core/markdown.ts';
import type { CampaignChangeInput } from '../src/core/activity-messages.ts';
import { NO_COMMAND, shellCommand } from '../src/core/shell.ts';

export class CampaignDisplay {
  #refusal = '';

  /** The label of a bar on the timeline. It describes the work without progress figures, which would soon be out of date. */
  roundSummary(snapshot: CampaignSnapshot): string {
    const { canary, rate } = snapshot;
    if (nextStep(snapshot).kind === 'wait') return this.inFlightSummary();
    if (isCanary(snapshot))
      return `Canary: replay ${canary} of ${grouped(snapshot.total)} and see how many fail`;
    return `Replay the dead letters, at most ${grouped(rate)} per second`;
  }

  inFlightSummary(): string {
    return 'Wait for the replays in progress';
  }

  waitingSummary({ stateReason }: CampaignSnapshot): string {
    return summaryLine(
      `Paused${stateReason ? `: ${stateReason}` : ''}. Send the signal resume or abort. (This timer only shows this text.)`,
    );
  }

  changeSummary({ change, request }: Omit<CampaignChangeInput, 'campaignId'>): string {
    if (change === 'stop') return 'Too many replays failed: pausing the campaign';
    if (change === 'finish') return 'All replays are settled';
    const actor: unknown = request?.actor;
    return summaryLine(`${change}${typeof actor === 'string' && actor ? ` by ${actor}` : ''}`);
  }

  refused(change: string, problem: string | null): void {
    this.#refusal =
      problem === null ? '' : `The last ${inlineText(change)} was refused: ${inlineText(problem)}`;
  }

  show(snapshot: CampaignSnapshot): void {
    const { judged, stopAbove } = snapshot;
    const failures = `Failures: ${failureShare(judged)}. The campaign pauses automatically above ${percent(stopAbove)}.`;
    setCurrentDetails(
      [
        this.#refusal,
        this.#headline(snapshot),
        `\`${bar(snapshot)}\``,
        `${progressText(snapshot)}; ${grouped(countRemaining(snapshot))} not started.`,
        failures,
        ...this.#commandsToRun(snapshot),
      ]
        .filter((line) => line !== '')
        .join('\n\n'),
    );
  }

  #headline(snapshot: CampaignSnapshot): string {
    const { state, actor, reason, rate, concurrency } = snapshot;
    const stateReason = inlineText(snapshot.stateReason ?? '');
    const who = inlineText(`${actor}${reason ? `: ${reason}` : ''}`);
    const by = `replay of ${grouped(snapshot.total)} dead letters by ${who}`;
    switch (state) {
      case 'Running':
        return isCanary(snapshot)
          ? `**Canary**: ${by}. The first ${snapshot.canary} are replayed; the rest follow only if few enough of them fail.`
          : `**Running**: ${by}. At most ${rate} per second, and ${concurrency} at the same time.`;
      case 'Paused':
        return `**Paused**${stateReason ? ` (${stateReason})` : ''}: ${by}. No more replays start until someone resumes it.`;
      case 'Aborted':
        return `**Aborted**${stateReason ? ` (${stateReason})` : ''}: ${by}. The remaining messages stay dead letters.`;
      case 'Finished':
        return `**Finished**: ${by}.`;
    }
  }

  #commandsToRun({ id, state }: CampaignSnapshot): string[] {
    const { workflowId } = workflowInfo();
    const show = `To see progress and failures: ${code(shellCommand`inbox campaigns show ${id}`)}`;
    const signal = (name: string) =>
      code(shellCommand`temporal workflow signal --workflow-id ${workflowId} --name ${name}`);
    if (state === 'Running')
      return [`To pause it: ${signal('pause')}`, `To abort it: ${signal('abort')}`, show];
    if (state === 'Paused') {
      return [
        `To resume it with a new canary, once the cause is fixed: ${signal('resume')}`,
        `To abort it: ${signal('abort')}`,
        show,
      ];
    }
    return [show];
  }
}

function code(command: string | null): string {
  return command === null ? NO_COMMAND : `\`${command}\``;
}
