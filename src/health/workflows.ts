/**
 * The part of `inbox doctor` that looks at the workflows of messages which should be moving and are not.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { Verdict } from './finding.ts';
import { unhealthy, healthy } from './finding.ts';
import { shellCommand } from '../core/shell.ts';
import { listLate } from '../store/health.ts';
import type { LateEntry } from '../store/health.ts';
import { conditionOf } from '../temporal/workflow-condition.ts';
import type { WorkflowCondition } from '../temporal/workflow-condition.ts';
import type { WorkflowOwner } from '../temporal/workflow-owner.ts';

/** Each of them costs Temporal a call or two. */
const MOST_LOOKED_AT = 100;
const AT_ONCE = 10;

/** What is told apart, the worst first. A workflow that nothing polls for is the finding of `workers`. */
const PROBLEMS = [
  ['taken', 'have a workflow ID that another workflow uses'],
  ['failing', 'have a workflow whose workflow task fails'],
  ['wrongInbox', 'have a workflow that workers of another inbox get'],
] as const satisfies [WorkflowCondition['kind'], string][];

interface Looked extends LateEntry {
  condition: WorkflowCondition;
}

/** @throws what Postgres throws, and the client when Temporal cannot be reached or refuses */
export async function checkWorkflows(pool: Pool, owner: WorkflowOwner, timeoutMs: number): Promise<Verdict> {
  const late = await listLate(pool, MOST_LOOKED_AT);
  if (late.length === 0) return healthy('no message waits for one');
  const looked: Looked[] = [];
  for (let from = 0; from < late.length; from += AT_ONCE) {
    const batch = late.slice(from, from + AT_ONCE);
    const look = async (entry: LateEntry): Promise<Looked> => ({
      ...entry,
      condition: await conditionOf(owner, entry.messageId, undefined, timeoutMs),
    });
    looked.push(...(await Promise.all(batch.map(look))));
  }
  const most =
    late.length === MOST_LOOKED_AT ? `the ${MOST_LOOKED_AT} looked at` : `${late.length} late messages`;
  const found = PROBLEMS.flatMap(([kind, what]) => {
    const those = looked.filter(({ condition }) => condition.kind === kind);
    return those.length === 0 ? [] : [{ what, count: those.length, example: those[0]! }];
  });
  if (found.length === 0) return healthy(`nothing is in the way of those of ${most}`);
  return unhealthy(
    found
      .map(
        ({ what, count, example }) =>
          `${count} of ${most} ${what}, for example: ${example.condition.finding}`,
      )
      .join('; '),
    found
      .map(({ example }) => `${example.condition.remedy}; ${describeShow(example.messageId)} says more`)
      .join('; '),
  );
}

/** For an unusual id, which no command is printed for, the id as JSON. */
function describeShow(messageId: string): string {
  const show = shellCommand`inbox show ${messageId}`;
  return show === null ? `\`inbox show\` of ${JSON.stringify(messageId)}` : `\`${show}\``;
}
