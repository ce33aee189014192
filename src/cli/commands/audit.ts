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
    .description('what operators did, newest first')
    .option('--actor <name>', 'done by this operator')
    .option('--message <id>', 'done to this message')
    .option('--campaign <id>', 'done to this campaign', parseUuid)
    .option('--action <name>', 'such as replay or discard')
    .option('--since <when>', `at or after it: ${WHEN}`, parseWhen)
    .option('--until <when>', 'before it', parseWhen)
    .option('--before <id>', 'the next page: lines older than the one with this id', wholeNumber(1, MAX_ID))
    .option('--limit <n>', 'how many at most', parseLimit, 50)
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

/** Without `json`, which is no part of the filter. */
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
