/**
 * What a person sees of a campaign in Temporal: summaries on the timeline, and current details with the lines to type.
 *
 * @module
 */
import { setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import {
  bar,
  failureShare,
  figuresText,
  grouped,
  isCanary,
  itemsLeft,
  percent,
  settledOf,
} from '../src/core/campaign.ts';
import type { CampaignSnapshot } from '../src/core/campaign.ts';
import { inlineText, summaryLine } from '../src/core/markdown.ts';
import type { CampaignChangeInput } from '../src/core/activity-messages.ts';
import { NO_COMMAND, shellCommand } from '../src/core/shell.ts';

export class CampaignStory {
  #refusal = '';

  roundSummary(look: CampaignSnapshot): string {
    const { canary, judged, total } = look;
    const share = `${failureShare(judged)} so far`;
    if (isCanary(look)) return `Canary: ${judged.settled} of ${canary} settled; ${share}`;
    return `${grouped(settledOf(look))} of ${grouped(total)} settled; ${share}`;
  }

  restSummary({ inFlight, retrying }: CampaignSnapshot): string {
    const again = retrying > 0 ? `, ${retrying} of them being tried again by themselves` : '';
    return `Waits for ${inFlight} ${inFlight === 1 ? 'replay' : 'replays'} under way${again}`;
  }

  waitingSummary({ stateReason }: CampaignSnapshot): string {
    return summaryLine(`Paused${stateReason ? `: ${stateReason}` : ''}; waits for resume or abort`);
  }

  changeSummary({ change, request }: Omit<CampaignChangeInput, 'campaignId'>): string {
    if (change === 'stop') return 'Too many failed: the campaign pauses itself';
    if (change === 'finish') return 'All are settled';
    const actor: unknown = request?.actor;
    return summaryLine(`${change}${typeof actor === 'string' && actor ? ` by ${actor}` : ''}`);
  }

  refused(change: string, problem: string | null): void {
    this.#refusal =
      problem === null ? '' : `The last ${inlineText(change)} was refused: ${inlineText(problem)}`;
  }

  tell(look: CampaignSnapshot): void {
    const failures = `Failures: ${failureShare(look.judged)}. The campaign pauses itself above ${percent(look.stopAbove)}.`;
    setCurrentDetails(
      [
        this.#refusal,
        this.#headline(look),
        `\`${bar(look)}\``,
        `${figuresText(look)}; ${grouped(itemsLeft(look))} not asked for.`,
        failures,
        ...this.#whatToType(look),
      ]
        .filter((line) => line !== '')
        .join('\n\n'),
    );
  }

  #headline(look: CampaignSnapshot): string {
    const { state, actor, reason, rate, concurrency } = look;
    const stateReason = inlineText(look.stateReason ?? '');
    const who = inlineText(`${actor}${reason ? `: ${reason}` : ''}`);
    const by = `replay of ${grouped(look.total)} dead letters by ${who}`;
    switch (state) {
      case 'Running':
        return isCanary(look)
          ? `**Canary**: ${by}. ${look.canary} of them go first; the others follow if few enough of those fail.`
          : `**Running**: ${by}. At most ${rate} a second, and ${concurrency} at the same time.`;
      case 'Paused':
        return `**Paused**${stateReason ? ` (${stateReason})` : ''}: ${by}. Nothing more is replayed until a person acts.`;
      case 'Aborted':
        return `**Aborted**${stateReason ? ` (${stateReason})` : ''}: ${by}. What is left stays a dead letter.`;
      case 'Finished':
        return `**Finished**: ${by}.`;
    }
  }

  #whatToType({ id, state }: CampaignSnapshot): string[] {
    const { workflowId } = workflowInfo();
    const show = `Its figures and failures: ${code(shellCommand`inbox campaigns show ${id}`)}`;
    const signal = (name: string) =>
      code(shellCommand`temporal workflow signal --workflow-id ${workflowId} --name ${name}`);
    if (state === 'Running')
      return [`To pause it: ${signal('pause')}`, `To end it: ${signal('abort')}`, show];
    if (state === 'Paused') {
      return [
        `After the cause is fixed, to go on with a new canary: ${signal('resume')}`,
        `To end it: ${signal('abort')}`,
        show,
      ];
    }
    return [show];
  }
}

function code(command: string | null): string {
  return command === null ? NO_COMMAND : `\`${command}\``;
}
