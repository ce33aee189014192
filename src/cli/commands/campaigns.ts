import type { Command } from 'commander';
import { bar, failureShare, figuresText, itemsLeft, percent } from '../../core/campaign.ts';
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
import { defaultActor, withPool, withServers } from '../shared/context.ts';
import { answer, print, printFields, printTable } from '../shared/output.ts';

interface NoteOptions {
  actor: string;
  reason?: string;
}

export function addCampaigns(program: Command): void {
  const campaigns = program
    .command('campaigns')
    .description('bulk replays: what they are doing, and how to stop them');
  addList(campaigns);
  campaigns
    .command('show')
    .argument('<id>')
    .description('one campaign: its figures, what failed last, what was done to it')
    .action((id: string) =>
      withPool(async (pool) => {
        const story = await showCampaign(pool, id);
        answer(story, () => printStory(story));
      }),
    );
  campaigns
    .command('follow')
    .argument('<id>')
    .description('until it is paused or over; Ctrl-C leaves it running')
    .action((id: string) => withPool((pool) => follow(pool, id)));
  addChange(campaigns, 'pause', 'replay nothing more until it is resumed', 'paused', pauseCampaign);
  addChange(campaigns, 'resume', 'go on, with a new canary', 'resumed', resumeCampaign);
  addChange(campaigns, 'abort', 'end it; what is left stays a dead letter', 'aborted', abortCampaign);
}

function addList(campaigns: Command): void {
  campaigns
    .command('list', { isDefault: true })
    .description('the newest first')
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
    .argument('<id>')
    .description(description)
    .option('--actor <name>', 'who does this, for the audit', defaultActor())
    .option('--reason <text>', 'why, for the audit')
    .action((id: string, { actor, reason }: NoteOptions) =>
      withServers(async (servers) => {
        const outcome = await change(servers, id, { actor, ...(reason !== undefined && { reason }) });
        if (outcome === 'pending') {
          throw new InboxError(
            `the request for campaign ${id} is with Temporal, but no worker has taken it up yet; it will be done as soon ` +
              'as one runs on this task queue',
          );
        }
        answer({ id, outcome: done }, () => print(`${id} ${done}`));
      }),
    );
}

function printStory({ campaign, look, failures, audit }: CampaignStory): void {
  printFields([
    ['campaign', campaign.id],
    ['state', campaign.state],
    ['because', campaign.stateReason],
    ['started', campaign.createdAt],
    ['ended', campaign.endedAt],
    ['by', campaign.actor],
    ['reason', campaign.reason],
    ['filter', campaign.filter],
    [
      'plan',
      `canary ${campaign.canary}, at most ${campaign.rate} a second and ${campaign.concurrency} at the same time`,
    ],
    ['progress', bar(look)],
    ['figures', figuresText(look)],
    ['not asked for', itemsLeft(look)],
    ['failures', `${failureShare(look.judged)}; it pauses itself above ${percent(campaign.stopAbove)}`],
  ]);
  if (failures.length > 0) {
    print('\nFailed last');
    printTable(
      ['MESSAGE ID', 'FAILURE GROUP', { head: 'ERROR', fit: 'cut' }],
      failures.map((failure) => [failure.messageId, failure.failureGroup, failure.error]),
    );
  }
  print('\nWhat was done to it');
  printTable(
    [{ head: 'AT', short: 'AGE' }, 'ACTION', 'ACTOR', { head: 'REASON', fit: 'wrap' }],
    audit.map((line) => [line.at, line.action, line.actor, line.reason]),
  );
}
