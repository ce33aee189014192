/**
 * Shows a command in Temporal: summaries on the timeline, current details, search attributes and the `status` query. On the
 * happy path, none of this costs an event.
 *
 * @module
 */
import { setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import type { CommandFacts } from '../src/core/activity-messages.ts';
import { codeBlock, inlineText, summaryLine } from '../src/core/markdown.ts';
import type { DiscardRequest, EntryStatus, StatusReport } from '../src/core/protocol.ts';
import { MAX_KEYWORD_LENGTH, SEARCH_ATTRIBUTES } from '../src/core/protocol.ts';
import { NO_COMMAND, shellWord } from '../src/core/shell.ts';
import { cutText } from '../src/core/text.ts';
import type { DeadOutcome, RetryOutcome } from './failure.ts';

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
const KEYS = {
  status: keyword(SEARCH_ATTRIBUTES.status),
  commandType: keyword(SEARCH_ATTRIBUTES.commandType),
  correlationId: keyword(SEARCH_ATTRIBUTES.correlationId),
  failureGroup: keyword(SEARCH_ATTRIBUTES.failureGroup),
};

export class CommandDisplay {
  readonly #messageId: string;
  #commandType: string | null;
  #status: EntryStatus = 'Pending';
  #generation = 0;
  #retryCount = 0;
  #error: string | null = null;
  #nextRetryAt: string | null = null;
  #failureGroup: string | null = null;
  #refusals = { count: 0, problem: '' };
  /** The latest facts; null until something goes wrong. */
  #facts: CommandFacts | null = null;

  /** @param commandType - null if only Postgres knows it */
  constructor(messageId: string, commandType: string | null) {
    this.#messageId = messageId;
    this.#commandType = commandType;
  }

  report(): StatusReport {
    return {
      messageId: this.#messageId,
      commandType: this.#commandType,
      status: this.#status,
      generation: this.#generation,
      retryCount: this.#retryCount,
      error: this.#error,
      nextRetryAt: this.#nextRetryAt,
      failureGroup: this.#failureGroup,
      refusals: this.#refusals,
    };
  }

  firstSummary(): string {
    return this.#generation > 0 ? `attempt 1 of replay ${this.#generation}` : 'attempt 1';
  }

  /** Names the real limit, because the Web UI shows the activity as "Attempt 4 / ∞". */
  retrySummary({ facts, failure }: RetryOutcome): string {
    if (!facts || !failure) return 'waiting until an attempt can start';
    const { maximumAttempts } = facts;
    const next = failure.retryCount + 1;
    const isLast = next >= maximumAttempts;
    const attempts = isLast
      ? `attempt ${next} of ${Math.max(next, maximumAttempts)}`
      : `attempts ${next} to ${maximumAttempts} of ${maximumAttempts}`;
    const end = `a dead letter if ${isLast ? 'it fails' : 'all fail'}`;
    return summaryLine(`${short(facts.commandType)}: ${attempts}, after ${short(failure.type)}; ${end}`);
  }

  campaignSummary({ commandType, maximumAttempts }: CommandFacts): string {
    const attempts =
      maximumAttempts === 1 ? 'attempt 1 of 1' : `attempts 1 to ${maximumAttempts} of ${maximumAttempts}`;
    return summaryLine(
      `${short(commandType)}: ${attempts} in replay ${this.#generation}, requested by a campaign (low priority)`,
    );
  }

  longRunningSummary({ commandType }: CommandFacts): string {
    return summaryLine(`${short(commandType)}: long-running attempt`);
  }

  longRunning(facts: CommandFacts): void {
    this.#update(facts);
    this.#status = 'Processing';
  }

  failed({ facts, failure, nextRetryAt, problem }: RetryOutcome): void {
    this.#status = 'Failed';
    this.#nextRetryAt = nextRetryAt;
    if (!facts || !failure) {
      const why = problem ?? 'the worker could not reach Postgres';
      setCurrentDetails(
        `The command could not be attempted yet:\n\n${block(why)}\n\nIt is retried automatically.`,
      );
      return;
    }
    this.#update(facts);
    this.#retryCount = failure.retryCount;
    this.#error = `${failure.type}: ${failure.message}`;
    this.#setSearchAttributes();
    setCurrentDetails(
      [
        `**Failed** ${count(failure.retryCount, 'time')}: ${inlineText(facts.commandType)}. The failure may be temporary:`,
        block(this.#error),
        `It is retried automatically, with up to ${facts.maximumAttempts} attempts in total. The pending activity \`retry\` ` +
          'shows the last failure and the time of the next attempt. No action is needed.',
      ].join('\n\n'),
    );
  }

  deadLettered({ facts, failure, failureGroup, reason }: DeadOutcome): void {
    this.#update(facts);
    this.#status = 'DeadLetter';
    this.#retryCount = failure.retryCount;
    this.#error = `${failure.type}: ${failure.message}`;
    this.#nextRetryAt = null;
    this.#failureGroup = failureGroup;
    this.#setSearchAttributes();
    setCurrentDetails(this.#deadLetterDetails(reason).join('\n\n'));
  }

  /** Shown on the timeline, at a timer, while the dead letter is open. */
  waitingSummary({ facts, failure }: DeadOutcome): string {
    const refused = this.#refusals.count > 0 ? ' The last request was refused.' : '';
    return completeLine(
      (length) =>
        `Dead letter: ${short(facts.commandType, length)} failed with ${short(failure.type, length)}.${refused} Fix the cause, ` +
        'then send the signal replay, or send the signal discard to drop the command. (This timer only shows this text.)',
    );
  }

  rejected({ reason }: DeadOutcome, kind: 'replay' | 'discard', problem: string): void {
    this.#refusals = { count: this.#refusals.count + 1, problem };
    const details = this.#deadLetterDetails(reason);
    setCurrentDetails([`The last **${kind}** was refused:`, block(problem), ...details].join('\n\n'));
  }

  replayed(): void {
    this.#generation += 1;
    this.#status = 'Pending';
    this.#retryCount = 0;
    this.#setSearchAttributes();
    setCurrentDetails(
      `Replay ${this.#generation}: the command gets new attempts. The failure before the replay was:\n\n${block(this.#error ?? '')}`,
    );
  }

  discarded(request: DiscardRequest): void {
    const because = inlineText(this.discardedBecause(request));
    setCurrentDetails(`${because}. The last failure was:\n\n${block(this.#error ?? '')}`);
  }

  discardedBecause({ actor, reason }: DiscardRequest): string {
    const who = actor ? `discarded by ${actor}` : 'discarded';
    return reason ? `${who}: ${reason}` : who;
  }

  completed(): void {
    this.#status = 'Completed';
    this.#nextRetryAt = null;
    // If nothing went wrong, search attributes and details are still unset.
    if (!this.#facts) return;
    this.#setSearchAttributes();
    const after =
      this.#generation > 0
        ? `replay ${this.#generation}`
        : `at least ${count(this.#retryCount, 'failed attempt')}`;
    setCurrentDetails(`Completed after ${after}.`);
  }

  /** The command had completed before its workflow started. */
  completedEarlier(at: string): void {
    this.#status = 'Completed';
    setCurrentDetails(
      `Completed at ${at}, on the first attempt, before this workflow started. This workflow is only the record of an ` +
        '`express` command and ran nothing.',
    );
  }

  #update(facts: CommandFacts): void {
    this.#facts = facts;
    this.#commandType = facts.commandType;
    this.#generation = facts.generation;
  }

  #deadLetterDetails(reason: string): string[] {
    const why =
      reason === 'exhausted'
        ? `All ${this.#facts?.maximumAttempts} attempts failed, the last one with:`
        : 'It is not retried automatically:';
    return [
      `**Dead letter**: ${inlineText(this.#commandType ?? '')}. ${why}`,
      block(this.#error ?? ''),
      'Nothing happens until someone acts: fix the cause and replay it, or discard it.',
      ...this.#commandsToRun(),
    ];
  }

  #commandsToRun(): string[] {
    const id = shellWord(this.#messageId);
    if (id === null) return [`${sentence(NO_COMMAND)}.`];
    const signal = (name: string) => `\`temporal workflow signal --workflow-id ${id} --name ${name}\``;
    return [
      `To replay it: ${signal('replay')}`,
      `To discard it: ${signal('discard')}`,
      `All attempts, with stack traces: \`inbox show ${id}\``,
    ];
  }

  /** An upsert costs an event and a visibility write. An attribute that is not registered would fail the workflow task. */
  #setSearchAttributes(): void {
    if (!this.#facts) return;
    const { commandType, correlationId, searchAttributes, usableSearchAttributes } = this.#facts;
    const usable = usableSearchAttributes ?? (searchAttributes ? Object.values(SEARCH_ATTRIBUTES) : []);
    const pairs = [
      { key: KEYS.status, value: this.#status },
      { key: KEYS.commandType, value: keywordText(commandType) },
      ...(correlationId ? [{ key: KEYS.correlationId, value: keywordText(correlationId) }] : []),
      ...(this.#failureGroup ? [{ key: KEYS.failureGroup, value: keywordText(this.#failureGroup) }] : []),
    ].filter(({ key }) => usable.includes(key.name));
    if (pairs.length > 0) upsertSearchAttributes(pairs);
  }
}

function keywordText(text: string): string {
  return cutText(text, MAX_KEYWORD_LENGTH);
}

/** Summaries are one line of at most a few hundred bytes. */
function short(text: string, maxLength = 80): string {
  return text.length > maxLength ? `${cutText(text, maxLength - 1)}…` : text;
}

/**
 * A summary whose end matters. Names in it are shortened until all of it fits.
 *
 * @param text - the summary, with names of at most this length
 */
function completeLine(text: (maxNameLength: number) => string): string {
  for (const length of [80, 40, 20]) {
    const line = summaryLine(text(length));
    if (!line.endsWith('…')) return line;
  }
  return summaryLine(text(10));
}

function block(text: string): string {
  return codeBlock(cutText(text, 2_000));
}

function sentence(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
