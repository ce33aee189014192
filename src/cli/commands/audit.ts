import type { Command } from 'commander';
import { auditTrail } from '../../operations/index.ts';
import type { AuditFilter, AuditTrailLine } from '../../operations/index.ts';
import { withPool } from '../shared/context.ts';
import { parseLimit, parseUuid, parseWhen, WHEN, wholeNumber } from '../shared/option-values.ts';
import { answer, note, printTable } from '../shared/output.ts';

interface Options extends Omit<AuditFilter, 'messageId' | 'campaignId'> {
  message?: string;
  campaign?: string;
  json?: boolean;
}

export function addAudit(program: Command): void {
  program
    .command('audit')
    .description('List what operators did, newest first')
    .option('--actor <name>', 'Only actions by this operator')
    .option('--message <id>', 'Only actions on the message with this message_id')
    .option('--campaign <id>', 'Only actions on the campaign with this id (a UUID)', parseUuid)
    .option('--action <name>', 'Only actions of this kind, such as replay or discard')
    .option('--since <when>', `Only actions at or after this time: ${WHEN}`, parseWhen)
    .option('--until <when>', 'Only actions before this time, in the same format as --since', parseWhen)
    .option(
      '--before <id>',
      'Next page: only actions older than the one with this ID',
      wholeNumber(1, MAX_ID),
    )
    .option('--limit <n>', 'Maximum number of actions to list, 1 to 10000', parseLimit, 50)
    .action(({ message, campaign, ...filter }: Options) =>
      withPool(async (pool) => {
        const lines = await auditTrail(pool, {
          ...withoutJson(filter),
          ...(message !== undefined && { messageId: message }),
          ...(campaign !== undefined && { campaignId: campaign }),
        });
        answer(lines, () => printLines(lines, filter.limit));
      }),
    );
}

const MAX_ID = 999_999_999_999_999;

/** Drops `json`, which is not part of the filter. */
function withoutJson({ json: _json, ...filter }: Omit<Options, 'message' | 'campaign'>): AuditFilter {
  return filter;
}

function printLines(lines: AuditTrailLine[], limit: number): void {
  printTable(
    [
      'ID',
      { head: 'AT', short: 'AGE' },
      'ACTOR',
      'ACTION',
      'MESSAGE OR CAMPAIGN',
      { head: 'REASON', fit: 'cut' },
    ],
    lines.map((line) => [
      line.id,
      line.at,
      line.actor,
      line.action,
      line.messageId ?? `campaign ${line.campaignId}`,
      line.reason,
    ]),
  );
  const last = lines.at(-1);
  if (last && lines.length === limit) note(`more: --before ${last.id}`);
}
