import type { Command } from 'commander';
import { bar, failureShare, progressText, countRemaining, percent } from '../../core/campaign.ts';
import { InboxError } from '../../core/errors.ts';
import type { ActionAnswer, CampaignStory, Operator } from '../../operations/index.ts';
import {
  abortCampaign,
  listCampaigns,
  pauseCampaign,
  resumeCampaign,
  showCampaign,
} from '../../operations/index.ts';
import type { OperatorNote } from '../../core/protocol.ts';
import { follow } from '../shared/campaign-follow.ts';
import { ACTOR_HELP, defaultActor, REASON_HELP, withPool, withServers } from '../shared/context.ts';
import { answer, print, printFields, printTable } from '../shared/output.ts';

interface NoteOptions {
  actor: string;
  reason?: string;
}

export function addCampaigns(program: Command): void {
  const campaigns = program
    .command('campaigns')
    .description('Show and control campaigns, which are bulk replays');
  addList(campaigns);
  campaigns
    .command('show')
    .argument('<id>', 'Campaign id (a UUID)')
    .description('Show one campaign: its progress, its latest failures, and what operators did')
    .action((id: string) =>
      withPool(async (pool) => {
        const story = await showCampaign(pool, id);
        answer(story, () => printStory(story));
      }),
    );
  campaigns
    .command('follow')
    .argument('<id>', 'Campaign id (a UUID)')
    .description(
      'Follow a campaign until it pauses or ends; Ctrl-C stops following, and the campaign continues',
    )
    .action((id: string) => withPool((pool) => follow(pool, id)));
  addChange(
    campaigns,
    'pause',
    'Pause a campaign: it starts no more replays until it is resumed',
    'paused',
    pauseCampaign,
  );
  addChange(
    campaigns,
    'resume',
    'Resume a paused campaign, starting with a new canary',
    'resumed',
    resumeCampaign,
  );
  addChange(
    campaigns,
    'abort',
    'Abort a campaign; dead letters that it has not replayed stay open',
    'aborted',
    abortCampaign,
  );
}

function addList(campaigns: Command): void {
  campaigns
    .command('list', { isDefault: true })
    .description('List the 20 newest campaigns')
    .action(() =>
      withPool(async (pool) => {
        const found = await listCampaigns(pool);
        answer(found, () =>
          printTable(
            [
              'ID',
              { head: 'STARTED', short: 'AGE' },
              'BY',
              'STATE',
              'TOTAL',
              'COMPLETED',
              'FAILED',
              'SKIPPED',
              { head: 'REASON', fit: 'cut' },
            ],
            found.map((campaign) => [
              campaign.id,
              campaign.createdAt,
              campaign.actor,
              campaign.state,
              campaign.total,
              campaign.completed,
              campaign.failed,
              campaign.skipped,
              campaign.reason,
            ]),
          ),
        );
      }),
    );
}

type Change = (operator: Operator, id: string, note: OperatorNote) => Promise<ActionAnswer>;

function addChange(
  campaigns: Command,
  name: string,
  description: string,
  done: string,
  change: Change,
): void {
  campaigns
    .command(name)
    .argument('<id>', 'Campaign id (a UUID)')
    .description(description)
    .option('--actor <name>', ACTOR_HELP, defaultActor())
    .option('--reason <text>', REASON_HELP)
    .action((id: string, { actor, reason }: NoteOptions) =>
      withServers(async (servers) => {
        const outcome = await change(servers, id, { actor, ...(reason !== undefined && { reason }) });
        if (outcome === 'pending') {
          throw new InboxError(
            `the request for campaign ${id} was sent to Temporal, but no worker has processed it yet; a worker processes it ` +
              'as soon as one runs on this task queue',
          );
        }
        answer({ id, outcome: done }, () => print(`${id} ${done}`));
      }),
    );
}

function printStory({ campaign, look: snapshot, failures, audit }: CampaignStory): void {
  printFields([
    ['campaign', campaign.id],
    ['state', campaign.state],
    ['state reason', campaign.stateReason],
    ['started', campaign.createdAt],
    ['ended', campaign.endedAt],
    ['started by', campaign.actor],
    ['reason', campaign.reason],
    ['filter', campaign.filter],
    [
      'plan',
      `canary of ${campaign.canary}, at most ${campaign.rate} per second, at most ${campaign.concurrency} at the same time`,
    ],
    ['progress', bar(snapshot)],
    ['counts', progressText(snapshot)],
    ['not yet started', countRemaining(snapshot)],
    [
      'failures',
      `${failureShare(snapshot.judged)}; it pauses automatically above ${percent(campaign.stopAbove)}`,
    ],
  ]);
  if (failures.length > 0) {
    print('\nLatest failures');
    printTable(
      ['MESSAGE ID', 'FAILURE GROUP', { head: 'ERROR', fit: 'cut' }],
      failures.map((failure) => [failure.messageId, failure.failureGroup, failure.error]),
    );
  }
  print('\nAudit');
  printTable(
    [{ head: 'AT', short: 'AGE' }, 'ACTION', 'ACTOR', { head: 'REASON', fit: 'wrap' }],
    audit.map((line) => [line.at, line.action, line.actor, line.reason]),
  );
}
