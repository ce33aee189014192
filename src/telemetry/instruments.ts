/**
 * The counters and histograms. Values that are only observed, such as the slots in use, are in `worker-gauges.ts` and
 * `open-work-gauges.ts`.
 *
 * @module
 */
import { metrics } from '@opentelemetry/api';
import type { Histogram, MeterProvider } from '@opentelemetry/api';
import { typeLabel } from './bounded-labels.ts';
import { CRITICAL_TIME_BUCKETS_S, DURATION_BUCKETS_S, METRIC } from './conventions.ts';
import { LabelledCounter } from './labelled-counter.ts';
import { hasMetricsSdk, meter } from './tracer.ts';

export interface Instruments {
  operationDuration: Histogram;
  sentMessages: LabelledCounter;
  consumedMessages: LabelledCounter;
  processDuration: Histogram;
  attempts: LabelledCounter;
  criticalTime: Histogram;
  reconciled: LabelledCounter;
  leaseExpired: LabelledCounter;
}

let current: { provider: MeterProvider; instruments: Instruments | null } | undefined;

/**
 * Returns the instruments of the SDK that is registered now, or null without an SDK. Unlike tracers, the API's meters do not
 * find an SDK that is registered after them.
 */
export function findInstruments(): Instruments | null {
  const provider = metrics.getMeterProvider();
  if (current?.provider === provider) return current.instruments;
  current = { provider, instruments: hasMetricsSdk(provider) ? createInstruments(provider) : null };
  return current.instruments;
}

function createInstruments(provider: MeterProvider): Instruments {
  const own = meter(provider);
  const duration = (name: string, description: string, explicitBucketBoundaries: number[]) =>
    own.createHistogram(name, { description, unit: 's', advice: { explicitBucketBoundaries } });
  const counter = (name: string, description: string, unit: string) =>
    new LabelledCounter(own.createObservableCounter(name, { description, unit }));
  return {
    operationDuration: duration(
      METRIC.operationDuration,
      'How long sends took, until the message was stored or the send failed',
      DURATION_BUCKETS_S,
    ),
    sentMessages: counter(METRIC.sentMessages, 'Messages that were sent', '{message}'),
    consumedMessages: counter(METRIC.consumedMessages, 'Messages handed to an attempt', '{message}'),
    processDuration: duration(METRIC.processDuration, 'How long attempts took', DURATION_BUCKETS_S),
    attempts: counter(METRIC.attempts, 'Attempts that ended, by outcome', '{attempt}'),
    criticalTime: duration(
      METRIC.criticalTime,
      'From the receipt of a command to its completion',
      CRITICAL_TIME_BUCKETS_S,
    ),
    reconciled: counter(
      METRIC.reconciled,
      'Missing workflows that the reconciler started again',
      '{workflow}',
    ),
    leaseExpired: counter(
      METRIC.leaseExpired,
      'Slots that the relay freed because no first attempt began in time',
      '{slot}',
    ),
  };
}

/**
 * Lets the counters of a worker begin at 0. A counter that appears with its first event shows no increase, so an alert would
 * miss the first dead letters after a deployment.
 */
export function startCounters(types: readonly string[]): void {
  const counters = findInstruments();
  if (counters === null) return;
  counters.reconciled.add(0, {});
  for (const type of types.map((each) => typeLabel(each))) {
    counters.leaseExpired.add(0, { type });
    for (const outcome of ['completed', 'retry', 'dead']) counters.attempts.add(0, { type, outcome });
  }
}
