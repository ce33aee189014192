/**
 * What a person sees of a command in Temporal: summaries on the timeline, current details, search attributes and the
 * `status` query. On the happy path nothing of it costs an event.
 *
 * @module
 */
import { setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import type { CommandFacts } from '../src/core/activity-messages.ts';
import { codeBlock, inlineText, summaryLine } from '../src/core/markdown.ts';
import type { DiscardRequest, EntryStatus, StatusReport } from '../src/core/protocol.ts';
import { SEARCH_ATTRIBUTES } from '../src/core/protocol.ts';
import { NO_COMMAND, shellWord } from '../src/core/shell.ts';
import { cutText } from '../src/core/text.ts';
import type { Death, Setback } from './failure.ts';

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
const KEYS = {
  status: keyword(SEARCH_ATTRIBUTES.status),
  commandType: keyword(SEARCH_ATTRIBUTES.commandType),
  correlationId: keyword(SEARCH_ATTRIBUTES.correlationId),
  failureGroup: keyword(SEARCH_ATTRIBUTES.failureGroup),
};
/** Of a Keyword in Postgres's visibility store. */
const MAX_KEYWORD_LENGTH = 255;

export class Story {
  readonly #messageId: string;
  #commandType: string | null;
  #status: EntryStatus = 'Pending';
  #generation = 0;
  #retryCount = 0;
  #error: string | null = null;
  #nextRetryAt: string | null = null;
  #failureGroup: string | null = null;
  #refusals = { count: 0, problem: '' };
  /** The last facts, once something went wrong. */
  #facts: CommandFacts | null = null;

  constructor(messageId: string, envelope: unknown) {
    this.#messageId = messageId;
    const type = (envelope as { commandType?: unknown } | null | undefined)?.commandType;
    this.#commandType = typeof type === 'string' ? type : null;
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
    const which = this.#generation > 0 ? `attempt 1 of replay ${this.#generation}` : 'attempt 1';
    return this.#commandType ? summaryLine(`${short(this.#commandType)}: ${which}`) : which;
  }

  retrySummary({ facts, failure }: Setback): string {
    if (!facts || !failure) return 'attempt, as soon as it can be made';
    const next = failure.retryCount + 1;
    const attempts =
      next < facts.maximumAttempts ? `attempts ${next} to ${facts.maximumAttempts}` : `attempt ${next}`;
    return summaryLine(`${short(facts.commandType)}: ${attempts}, after ${short(failure.type)}`);
  }

  campaignSummary({ commandType, maximumAttempts }: CommandFacts): string {
    const attempts = maximumAttempts === 1 ? 'attempt 1' : `attempts 1 to ${maximumAttempts}`;
    return summaryLine(
      `${short(commandType)}: ${attempts} of replay ${this.#generation}, by a campaign; gives way to others`,
    );
  }

  longRunningSummary({ commandType }: CommandFacts): string {
    return summaryLine(`${short(commandType)}: long-running`);
  }

  longRunning(facts: CommandFacts): void {
    this.#learn(facts);
    this.#status = 'Processing';
  }

  failed({ facts, failure, nextRetryAt, problem }: Setback): void {
    this.#status = 'Failed';
    this.#nextRetryAt = nextRetryAt;
    if (!facts || !failure) {
      const why = problem ?? 'the worker could not reach Postgres';
      setCurrentDetails(
        `The command could not be tried yet:\n\n${block(why)}\n\nIt is tried again by itself.`,
      );
      return;
    }
    this.#learn(facts);
    this.#retryCount = failure.retryCount;
    this.#error = `${failure.type}: ${failure.message}`;
    this.#tag();
    setCurrentDetails(
      [
        `**Failed** ${count(failure.retryCount, 'time')}: ${inlineText(facts.commandType)}. This may pass by itself:`,
        block(this.#error),
        `It is tried again by itself, ${facts.maximumAttempts} attempts in all. The pending activity \`retry\` shows ` +
          'the last failure and the time of the next attempt; nothing needs to be done.',
      ].join('\n\n'),
    );
  }

  died({ facts, failure, failureGroup, reason }: Death): void {
    this.#learn(facts);
    this.#status = 'DeadLetter';
    this.#retryCount = failure.retryCount;
    this.#error = `${failure.type}: ${failure.message}`;
    this.#nextRetryAt = null;
    this.#failureGroup = failureGroup;
    this.#tag();
    setCurrentDetails(this.#deathNotice(reason).join('\n\n'));
  }

  /** On the timeline, as long as the dead letter is open. */
  waitingSummary({ facts, failure }: Death): string {
    const refused = this.#refusals.count > 0 ? 'the last request was refused; ' : '';
    return summaryLine(
      `Dead letter: ${short(facts.commandType)} failed with ${short(failure.type)}; ${refused}waits for replay or discard`,
    );
  }

  rejected({ reason }: Death, kind: 'replay' | 'discard', problem: string): void {
    this.#refusals = { count: this.#refusals.count + 1, problem };
    const notice = this.#deathNotice(reason);
    setCurrentDetails([`The last **${kind}** was refused:`, block(problem), ...notice].join('\n\n'));
  }

  replayed(): void {
    this.#generation += 1;
    this.#status = 'Pending';
    this.#retryCount = 0;
    this.#tag();
    setCurrentDetails(
      `Replay ${this.#generation}: the command gets new attempts. The dead letter said:\n\n${block(this.#error ?? '')}`,
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
    // Nothing was tagged or told where nothing went wrong.
    if (!this.#facts) return;
    this.#tag();
    const after =
      this.#generation > 0
        ? `replay ${this.#generation}`
        : `${count(this.#retryCount, 'failed attempt')} or more`;
    setCurrentDetails(`Completed, after ${after}.`);
  }

  /** What became of it was known before its workflow began. */
  completedBefore(at: string): void {
    this.#status = 'Completed';
    setCurrentDetails(
      `Completed at its first attempt, at ${at}, before this workflow began: it is the record of a command that is ` +
        '`express`, and had nothing left to do.',
    );
  }

  #learn(facts: CommandFacts): void {
    this.#facts = facts;
    this.#commandType = facts.commandType;
    this.#generation = facts.generation;
  }

  #deathNotice(reason: string): string[] {
    const why =
      reason === 'exhausted'
        ? `All ${this.#facts?.maximumAttempts} attempts failed; the last one with:`
        : 'Trying again by itself cannot help:';
    return [
      `**Dead letter**: ${inlineText(this.#commandType ?? '')}. ${why}`,
      block(this.#error ?? ''),
      'Nothing happens until a person acts: after the cause is fixed, replay it, or discard it.',
      ...this.#whatToType(),
    ];
  }

  #whatToType(): string[] {
    const id = shellWord(this.#messageId);
    if (id === null) return [`${sentence(NO_COMMAND)}.`];
    const signal = (name: string) => `\`temporal workflow signal --workflow-id ${id} --name ${name}\``;
    return [
      `To replay it: ${signal('replay')}`,
      `To discard it: ${signal('discard')}`,
      `All attempts, with stacks: \`inbox show ${id}\``,
    ];
  }

  /** An upsert is an event and a visibility write, and fails the workflow task where the attribute is not registered. */
  #tag(): void {
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

/** Summaries are one line of at most some hundred bytes. */
function short(text: string): string {
  return text.length > 80 ? `${cutText(text, 79)}…` : text;
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
