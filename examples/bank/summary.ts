/**
 * The summary at the end of the demo. The functions are pure, so that they can be tested.
 *
 * @module
 */
import { deadLettersLink, REPLAY_SIGNAL, SEARCH_ATTRIBUTES } from 'temporal-inbox/temporal';
import type { WebUi } from 'temporal-inbox/temporal';
import type { Conservation } from './conservation.ts';
import type { FailureCount, Outcome } from './outcome.ts';

export interface Summary {
  /** Commands sent by this run or an earlier one. */
  sent: number;
  /** Commands that an earlier run had already sent. */
  duplicates: number;
  seconds: number;
  /** The message_id of the dead letter that this run replayed. */
  replayed: string | null;
  outcome: Outcome;
  conservation: Conservation;
  next: NextSteps;
}

export interface NextSteps {
  /** Null if it is not known. */
  webUi: WebUi | null;
  temporalAddress: string;
  taskQueue: string;
  /** Commands to run first, such as `export DATABASE_URL=…`. */
  environment: readonly string[];
  /** True if the namespace has the inbox's search attributes. Without them, Temporal cannot list workflows by status. */
  searchAttributes: boolean;
}

export function summarize(summary: Summary): string {
  return [
    describeSending(summary),
    '',
    ...describeOutcome(summary.outcome),
    '',
    ...describeMoney(summary.conservation),
    '',
    ...describeWebUi(summary.next),
    '',
    ...describeNextSteps(summary),
    '',
  ].join('\n');
}

function describeSending({ sent, duplicates, seconds, replayed }: Summary): string {
  if (duplicates === sent && replayed === null) {
    return `Nothing changed: all ${number(sent)} commands were duplicates from an earlier run.`;
  }
  const known = duplicates === 0 ? '' : `, ${number(duplicates)} of them duplicates from an earlier run`;
  return `${number(sent)} commands sent in ${seconds.toFixed(1)} s${known}.`;
}

function describeOutcome(outcome: Outcome): string[] {
  const dead = outcome.deadLetters.reduce((sum, { count }) => sum + count, 0);
  return [
    row('Completed', outcome.completed),
    row('Retried', outcome.retried, outcome.transientFailures),
    row('Dead letters', dead, outcome.deadLetters),
    row('Replayed', outcome.replayed),
  ];
}

function row(label: string, count: number, why: readonly FailureCount[] = []): string {
  const reasons = why.map((each) => `${each.type} ${number(each.count)}`).join(', ');
  return `${label.padEnd(14)}${number(count).padStart(7)}${reasons && `   ${reasons}`}`;
}

function describeMoney({ accounts, balanceCents, problems }: Conservation): string[] {
  if (problems.length === 0) {
    return [
      `Money conserved: ${number(accounts)} accounts hold ${dollars(balanceCents)} dollars, exactly the amount deposited.`,
    ];
  }
  return ['MONEY IS NOT CONSERVED:', ...problems.slice(0, 10).map((problem) => `  ${problem}`)];
}

function describeWebUi({ webUi, searchAttributes }: NextSteps): string[] {
  if (webUi === null) return ['Web UI  see the Temporal server that TEMPORAL_ADDRESS names'];
  if (!searchAttributes) return [`Web UI  ${webUi.url}`];
  return [`Web UI  ${webUi.url}`, `        the dead letters: ${deadLettersLink(webUi)}`];
}

function describeNextSteps({ next, outcome }: Summary): string[] {
  const at = `--address ${next.temporalAddress}`;
  const lines = [...next.environment];
  if (next.searchAttributes) {
    lines.push(
      `temporal workflow list ${at} --query '${SEARCH_ATTRIBUTES.status}="DeadLetter" AND ExecutionStatus="Running"'`,
    );
  }
  if (outcome.example) {
    const { messageId, type } = outcome.example;
    lines.push(`npx inbox show ${messageId}`);
    if (type === 'InsufficientFunds') lines.push(topUpLine(next, messageId));
    lines.push(`temporal workflow signal ${at} --workflow-id ${messageId} --name ${REPLAY_SIGNAL}`);
    lines.push(`npx inbox show ${messageId}`);
  }
  return ['Next steps:', ...lines.map((line) => `  ${line}`)];
}

/** A purchase's message_id is `cdnow-<customer>-<line>`, and the customer's number is the account id. */
function topUpLine(next: NextSteps, messageId: string): string {
  const accountId = messageId.split('-')[1] ?? '';
  const input = JSON.stringify({ accountId, amountCents: 100_000 });
  return (
    `temporal workflow start --address ${next.temporalAddress} --type DepositFunds ` +
    `--task-queue ${next.taskQueue} --workflow-id top-up-${accountId} --input '${input}'`
  );
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}

function dollars(cents: bigint): string {
  return `${(cents / 100n).toLocaleString('en-US')}.${String(cents % 100n).padStart(2, '0')}`;
}
