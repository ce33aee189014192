import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { DEFAULT_PLAN, previewReplay, startCampaign } from '../operations.ts';
import type { DeadLetterFilter } from '../store/dead-letter-filter.ts';
import { follow } from './campaign-follow.ts';
import { confirm, showPreview } from './confirm.ts';
import { withServers } from './context.ts';
import { note, print, printJson } from './output.ts';

export interface SetOptions {
  actor: string;
  reason?: string;
  canary: number;
  rate: number;
  concurrency: number;
  stopAbove: number;
  yes?: boolean;
  follow: boolean;
  json?: boolean;
}

export function planOptions(command: Command): Command {
  const { canary, rate, concurrency, stopAbove } = DEFAULT_PLAN;
  return command
    .option('--canary <n>', 'so many first; the others only when few enough of those fail', number, canary)
    .option('--rate <n>', 'replays a second, at most', number, rate)
    .option('--concurrency <n>', 'replays under way at the same time, at most', number, concurrency)
    .option('--stop-above <share>', 'pauses when a greater share of them fails, 0 to 1', number, stopAbove)
    .option('--yes', 'without asking')
    .option('--no-follow', 'start it, and do not wait for its end')
    .option('--json', 'JSON on stdout');
}

/** Shows what would be replayed, asks, starts the campaign and follows it. */
export async function replaySet(
  command: Command,
  filter: DeadLetterFilter,
  options: SetOptions,
): Promise<void> {
  await withServers(async (servers) => {
    const preview = await previewReplay(servers.pool, filter);
    showPreview(preview);
    if (preview.total === 0) return;
    const { actor, reason, canary, rate, concurrency, stopAbove } = options;
    const plan = `${canary} first, then at most ${rate} a second and ${concurrency} at the same time`;
    if (!(await confirm(command, `Replay these ${preview.total}: ${plan}?`, options.yes ?? false))) {
      return note('nothing was started');
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
    note(`campaign ${campaign.id} replays ${campaign.total}; Ctrl-C leaves it running`);
    if (options.follow) return follow(servers.pool, campaign.id, options);
    if (options.json) printJson(campaign);
    else print(campaign.id);
  });
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It is a number.');
  return value;
}
