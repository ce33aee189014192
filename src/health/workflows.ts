/**
 * The workflows check of `inbox doctor`: finds what blocks the workflows of late messages.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { Verdict } from './finding.ts';
import { unhealthy, healthy } from './finding.ts';
import { shellCommand } from '../core/shell.ts';
import { listLate } from '../store/health.ts';
import type { LateEntry } from '../store/health.ts';
import { examineWorkflow } from '../temporal/workflow-condition.ts';
import type { WorkflowCondition } from '../temporal/workflow-condition.ts';
import type { WorkflowOwner } from '../temporal/workflow-owner.ts';

/** Each message costs one or two calls to Temporal. */
const MAX_CHECKED = 100;
const CONCURRENCY = 10;

/** The reported problems, worst first. The check `workers` reports a task queue without workers. */
const PROBLEMS = [
  ['taken', 'have a workflow ID that another workflow uses'],
  ['failing', 'have a workflow whose workflow task keeps failing'],
  ['wrongInbox', 'have a workflow whose activities go to workers of another inbox'],
] as const satisfies [WorkflowCondition['kind'], string][];

interface CheckedEntry extends LateEntry {
  condition: WorkflowCondition;
}

/**
 * @throws any error from Postgres; the Temporal client's error if Temporal cannot be reached or refuses the call
 */
export async function checkWorkflows(pool: Pool, owner: WorkflowOwner, timeoutMs: number): Promise<Verdict> {
  const late = await listLate(pool, MAX_CHECKED);
  if (late.length === 0) return healthy('no message is late');
  const checked: CheckedEntry[] = [];
  for (let from = 0; from < late.length; from += CONCURRENCY) {
    const batch = late.slice(from, from + CONCURRENCY);
    const checkEntry = async (entry: LateEntry): Promise<CheckedEntry> => ({
      ...entry,
      condition: await examineWorkflow(owner, entry, timeoutMs),
    });
    checked.push(...(await Promise.all(batch.map(checkEntry))));
  }
  const which =
    late.length === MAX_CHECKED ? `the ${MAX_CHECKED} late messages checked` : `${late.length} late messages`;
  const found = PROBLEMS.flatMap(([kind, what]) => {
    const matching = checked.filter(({ condition }) => condition.kind === kind);
    return matching.length === 0 ? [] : [{ what, count: matching.length, example: matching[0]! }];
  });
  if (found.length === 0) return healthy(`nothing blocks the workflows of ${which}`);
  return unhealthy(
    found
      .map(
        ({ what, count, example }) =>
          `${count} of ${which} ${what}, for example: ${example.condition.finding}`,
      )
      .join('; '),
    found
      .map(({ example }) => `${example.condition.remedy}; ${describeShow(example.messageId)} shows more`)
      .join('; '),
  );
}

/** For an unusual id that cannot be part of a shell command, shows the id as JSON. */
function describeShow(messageId: string): string {
  const show = shellCommand`inbox show ${messageId}`;
  return show === null ? `\`inbox show\` of ${JSON.stringify(messageId)}` : `\`${show}\``;
}
