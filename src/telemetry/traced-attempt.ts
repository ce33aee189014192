/**
 * Spans and metrics of an attempt: from the claim until its outcome is recorded.
 *
 * @module
 */
import { context, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import type { Context, Link, Span, Tracer } from '@opentelemetry/api';
import { errorLabel } from './bounded-labels.ts';
import { attemptMeter } from './command-meters.ts';
import type { AttemptMeter } from './command-meters.ts';
import { ATTRIBUTE } from './conventions.ts';
import { findInstruments } from './instruments.ts';
import { endSpan, inSpan, messageAttributes } from './spans.ts';
import type { TracedMessage } from './spans.ts';
import { traceContextOf } from './trace-context.ts';
import { findTracer } from './tracer.ts';

/** How the command runs: its own workflow, or the worker itself, with or without a workflow as its record afterwards. */
export type CommandMode = 'workflow' | 'express' | 'recorded';

/**
 * completed: committed. retry: failed, and another attempt follows. dead: failed, and the command is a dead letter.
 * interrupted: Postgres was unavailable or the worker stopped, and the attempt does not count. cancelled: its workflow was.
 * stale: another attempt has taken over. unrecorded: Postgres could not record the outcome.
 */
export type AttemptOutcomeLabel =
  | 'completed'
  | 'retry'
  | 'dead'
  | 'interrupted'
  | 'cancelled'
  | 'stale'
  | 'unrecorded';

/** The fields of an entry that its attempts show. */
export interface TracedEntry extends TracedMessage {
  receivedAt: Date;
  attempt: number;
  generation: number;
  retryCount: number;
}

export interface AttemptEnd {
  outcome: AttemptOutcomeLabel;
  errorType?: string;
  failureGroup?: string;
  /** Exported as the status of the span. */
  errorMessage?: string;
}

/** One attempt. It ends once, with the first call of `end`. */
export class TracedAttempt {
  readonly #entry: TracedEntry;
  readonly #meter: AttemptMeter | null;
  readonly #start = performance.now();
  /** Null without an SDK for traces. */
  readonly #traced: { span: Span; context: Context } | null;
  #ended = false;

  constructor(entry: TracedEntry, { mode, taskQueue }: { mode: CommandMode; taskQueue: string }) {
    this.#entry = entry;
    this.#meter = attemptMeter(entry.commandType, taskQueue);
    if (this.#meter) this.#meter.consumed.value += 1;
    const tracer = findTracer();
    this.#traced = tracer ? startSpan(tracer, entry, mode, taskQueue) : null;
  }

  /** Runs a part of the attempt. Spans that it starts are children of the attempt's span. */
  run<T>(work: () => T): T {
    return this.#traced ? context.with(this.#traced.context, work) : work();
  }

  /** Adds the campaign that replayed the command, if one did. `find` is called only if the span is sampled. */
  async addCampaign(find: () => Promise<string | null>): Promise<void> {
    if (!this.#traced?.span.isRecording()) return;
    const campaignId = await find();
    if (campaignId !== null) this.#traced.span.setAttribute(ATTRIBUTE.campaignId, campaignId);
  }

  end(end: AttemptEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    const { outcome, errorType, failureGroup, errorMessage } = end;
    if (this.#traced) {
      const { span } = this.#traced;
      span.setAttribute(ATTRIBUTE.outcome, outcome);
      if (failureGroup !== undefined) span.setAttribute(ATTRIBUTE.failureGroup, failureGroup);
      endSpan(span, errorType ?? null, errorMessage);
    }
    this.#measure(end);
  }

  #measure({ outcome, errorType }: AttemptEnd): void {
    const meter = this.#meter;
    if (!meter) return;
    const { labels, duration, completed, criticalTime, type } = meter;
    const seconds = (performance.now() - this.#start) / 1_000;
    duration.record(
      seconds,
      errorType === undefined ? labels : { ...labels, [ATTRIBUTE.errorType]: errorLabel(errorType) },
    );
    if (outcome !== 'completed') {
      findInstruments()?.attempts.add(1, { ...type, outcome });
      return;
    }
    completed.value += 1;
    // By two clocks: the database's and this machine's. They may differ by a little, but no command completes before its
    // receipt.
    const sinceReceipt = (Date.now() - this.#entry.receivedAt.getTime()) / 1_000;
    criticalTime.record(Math.max(0, sinceReceipt), type);
  }
}

function startSpan(
  tracer: Tracer,
  entry: TracedEntry,
  mode: CommandMode,
  taskQueue: string,
): { span: Span; context: Context } {
  const { parent, links } = contextsOf(entry);
  const attributes = messageAttributes('process', entry);
  attributes[ATTRIBUTE.consumerGroup] = taskQueue;
  attributes[ATTRIBUTE.attempt] = entry.attempt;
  attributes[ATTRIBUTE.generation] = entry.generation;
  attributes[ATTRIBUTE.mode] = mode;
  const options = { kind: SpanKind.CONSUMER, attributes, links };
  const span = tracer.startSpan(`process ${entry.commandType}`, options, parent);
  return { span, context: trace.setSpan(parent, span) };
}

/**
 * The first attempt continues the trace of the send. Retries and replays, which may come days later, begin traces of their
 * own with a link to it. An active span, such as that of an interceptor of Temporal's SDK, is linked, too.
 */
function contextsOf({ metadata, retryCount, generation }: TracedEntry): { parent: Context; links: Link[] } {
  const sent = traceContextOf(metadata);
  const active = trace.getSpanContext(context.active());
  const activeLinks: Link[] = active ? [{ context: active }] : [];
  const isFirst = retryCount === 0 && generation === 0;
  if (sent && isFirst) return { parent: trace.setSpanContext(ROOT_CONTEXT, sent), links: activeLinks };
  return { parent: ROOT_CONTEXT, links: [...(sent ? [{ context: sent }] : []), ...activeLinks] };
}

/** Runs a phase of an attempt in a span: `prepare`, `handler` or `commit`. */
export function tracedPhase<T>(name: 'prepare' | 'handler' | 'commit', work: () => Promise<T>): Promise<T> {
  const tracer = findTracer();
  if (!tracer) return work();
  const parent = context.active();
  // Without a sampled attempt, there is nothing to add.
  if (!trace.getSpan(parent)?.isRecording()) return work();
  return inSpan(tracer.startSpan(name, { kind: SpanKind.INTERNAL }, parent), parent, work);
}
