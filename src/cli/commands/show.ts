import type { Command } from 'commander';
import { show } from '../../operations/index.ts';
import type { EntryStory } from '../../operations/index.ts';
import { NO_COMMAND, shellCommand } from '../../core/shell.ts';
import type { WorkflowCondition } from '../../operations/index.ts';
import { MAX_RELATED_MESSAGES } from '../../operations/index.ts';
import { workflowLink } from '../../temporal/web-ui.ts';
import { readWebUi } from '../shared/web-ui.ts';
import { readWorkflowState } from '../shared/workflow-line.ts';
import { withPool } from '../shared/context.ts';
import { answer, print, printable, printFields, printTable } from '../shared/output.ts';

export function addShow(program: Command): void {
  program
    .command('show')
    .argument('<message-id>', 'Message id')
    .description("Show one message's history: its entry, failed attempts, dead letters and operator actions")
    .option('--stack', 'Include the stack traces of failed attempts')
    .action((messageId: string, options: { stack?: boolean }) =>
      withPool(async (pool) => {
        const story = await show(pool, messageId);
        const workflow = await readWorkflowState(pool, story.entry);
        answer({ ...story, workflow }, () => printStory(story, options.stack ?? false, workflow));
      }),
    );
}

function printStory(
  { entry, failures, story, related, flow }: EntryStory,
  withStacks: boolean,
  workflow: WorkflowCondition | null,
): void {
  const webUi = readWebUi();
  printFields([
    ['message id', entry.messageId],
    ['command type', entry.commandType],
    ['status', entry.status],
    ['received', entry.receivedAt],
    ['processed', entry.processedAt],
    [
      'pruned',
      entry.prunedAt &&
        `${entry.prunedAt.toISOString()}: payload, metadata, result and failure messages were deleted`,
    ],
    ['next retry', entry.nextRetryAt],
    ['attempts started', entry.attempt],
    [
      'failed attempts',
      `${entry.retryCount}${entry.generation > 0 ? ` since replay ${entry.generation}` : ''}`,
    ],
    ['error', entry.error],
    ['workflow', workflow && describeCondition(workflow)],
    ['web ui', webUi && workflowLink(webUi, entry.messageId)],
    ['correlation id', entry.correlationId],
    ['causation id', entry.causationId],
    ['metadata', entry.prunedAt ? null : entry.metadata],
    ['payload', entry.payload],
    ['result', entry.status === 'Completed' ? entry.result : null],
  ]);
  print('\nWhat happened');
  printTable(
    [{ head: 'AT', short: 'AGO' }, 'WHAT', { head: '', fit: 'wrap' }],
    story.map(({ at, what, text }) => [at, what, text]),
  );
  if (withStacks)
    for (const { attempt, stack } of failures) if (stack) print(`\nattempt ${attempt}:\n${indent(stack)}`);
  printRelated(entry.messageId, related);
  if (flow > 0) {
    const flowId = entry.correlationId ?? entry.messageId;
    const others = `${flow} other ${flow === 1 ? 'message' : 'messages'} in this flow`;
    print(`\n${others}: ${shellCommand`inbox list --correlation ${flowId}` ?? NO_COMMAND}`);
  }
}

function describeCondition({ finding, remedy }: WorkflowCondition): string {
  return remedy === null ? finding : `${finding}. Remedy: ${remedy}`;
}

const branch = (depth: number, text: string) => print(`${'  '.repeat(depth)}${depth > 0 ? '└ ' : ''}${text}`);
const describeMessage = (one: EntryStory['related'][number]) =>
  `${printable(one.messageId)}  ${printable(one.commandType)}  ${one.status}`;

/** Prints a tree with the causes above the message and its effects below it. */
function printRelated(messageId: string, related: EntryStory['related']): void {
  if (related.length === 0) return;
  print('\nCauses and effects');
  const above = related.filter(({ depth }) => depth < 0);
  above.forEach((one, depth) => branch(depth, describeMessage(one)));
  branch(above.length, `${printable(messageId)}  (this message)`);
  const printBelow = (parent: string, depth: number) => {
    for (const one of related.filter((each) => each.depth === depth && each.causationId === parent)) {
      branch(above.length + depth, describeMessage(one));
      printBelow(one.messageId, depth + 1);
    }
  };
  printBelow(messageId, 1);
  if (related.length - above.length >= MAX_RELATED_MESSAGES)
    print(`… only the first ${MAX_RELATED_MESSAGES} effects are shown`);
}

/** Keeps the lines of a stack trace, and escapes each line like any other text. */
function indent(stack: string): string {
  return stack
    .split('\n')
    .map((line) => `  ${printable(line)}`)
    .join('\n');
}
