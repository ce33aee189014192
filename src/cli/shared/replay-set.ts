import type { Command } from 'commander';
import { DEFAULT_PLAN, previewReplay, startCampaign } from '../../operations/index.ts';
import type { DeadLetterFilter } from '../../operations/index.ts';
import { follow } from './campaign-follow.ts';
import { confirm, showPreview } from './confirm.ts';
import { withServers } from './context.ts';
import { decimal, wholeNumber } from './option-values.ts';
import { answer, note, print } from './output.ts';

export interface SetOptions {
  actor: string;
  reason?: string;
  canary: number;
  rate: number;
  concurrency: number;
  stopAbove: number;
  yes?: boolean;
  follow: boolean;
}

export function planOptions(command: Command): Command {
  const { canary, rate, concurrency, stopAbove } = DEFAULT_PLAN;
  return command
    .option(
      '--canary <n>',
      'Number of dead letters to replay first, 0 for none; the others follow unless more than --stop-above of these fail',
      wholeNumber(0, 100_000),
      canary,
    )
    .option('--rate <n>', 'Maximum number of replays per second, 0.001 to 1000', decimal(0.001, 1_000), rate)
    .option(
      '--concurrency <n>',
      'Maximum number of replays running at the same time, 1 to 1000',
      wholeNumber(1, 1_000),
      concurrency,
    )
    .option(
      '--stop-above <share>',
      'Pause when more than this share of the replays fails, 0 to 1',
      decimal(0, 1),
      stopAbove,
    )
    .option('--yes', 'Do not ask for confirmation')
    .option('--no-follow', 'Start the campaign and return (default: follow it until it pauses or ends)');
}

/** Shows what would be replayed, asks for confirmation, starts the campaign and follows it. */
export async function replaySet(
  command: Command,
  filter: DeadLetterFilter,
  options: SetOptions,
): Promise<void> {
  await withServers(async (servers) => {
    const preview = await previewReplay(servers.pool, filter);
    showPreview(preview);
    if (preview.total === 0) return answer(null, () => {});
    const { actor, reason, canary, rate, concurrency, stopAbove } = options;
    const plan = `${canary} first, then at most ${rate} per second and ${concurrency} at the same time`;
    if (
      !(await confirm(command, `Replay these ${preview.total} dead letters (${plan})?`, options.yes ?? false))
    ) {
      return answer(null, () => note('nothing was started'));
    }
    const campaign = await startCampaign(servers, {
      filter,
      actor,
      ...(reason !== undefined && { reason }),
      canary,
      rate,
      concurrency,
      stopAbove,
    });
    note(`campaign ${campaign.id} replays ${campaign.total} dead letters; it continues after Ctrl-C`);
    if (options.follow) return follow(servers.pool, campaign.id);
    answer(campaign, () => print(campaign.id));
  });
}
