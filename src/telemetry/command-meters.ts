/**
 * The instruments and labels of each command type. They are created once, because creating them for each command is slow.
 *
 * @module
 */
import type { Histogram } from '@opentelemetry/api';
import { typeLabel } from './bounded-labels.ts';
import { ATTRIBUTE, MESSAGING_SYSTEM } from './conventions.ts';
import { findInstruments } from './instruments.ts';
import type { Instruments } from './instruments.ts';
import type { Labels, Sum } from './labelled-counter.ts';

export interface SendMeter {
  labels: Labels;
  duration: Histogram;
  sent: Sum;
}

export interface AttemptMeter {
  labels: Labels;
  duration: Histogram;
  consumed: Sum;
  completed: Sum;
  criticalTime: Histogram;
  /** The label of metrics that the conventions do not define. */
  type: Labels;
}

let owner: Instruments | null = null;
const sends = new Map<string, SendMeter>();
const attempts = new Map<string, AttemptMeter>();

/** Forgets the meters of an SDK that is no longer registered. */
function instrumentsNow(): Instruments | null {
  const instruments = findInstruments();
  if (instruments !== owner) {
    owner = instruments;
    sends.clear();
    attempts.clear();
  }
  return instruments;
}

/** Returns null without an SDK. */
export function sendMeter(commandType: string): SendMeter | null {
  const instruments = instrumentsNow();
  if (!instruments) return null;
  const type = typeLabel(commandType);
  const known = sends.get(type);
  if (known) return known;
  const labels = {
    [ATTRIBUTE.system]: MESSAGING_SYSTEM,
    [ATTRIBUTE.operationName]: 'send',
    [ATTRIBUTE.destination]: type,
  };
  const made = {
    labels,
    duration: instruments.operationDuration,
    sent: instruments.sentMessages.sumOf(labels),
  };
  sends.set(type, made);
  return made;
}

/** Returns null without an SDK. */
export function attemptMeter(commandType: string, taskQueue: string): AttemptMeter | null {
  const instruments = instrumentsNow();
  if (!instruments) return null;
  const type = typeLabel(commandType);
  const key = `${type}\0${taskQueue}`;
  const known = attempts.get(key);
  if (known) return known;
  const labels = {
    [ATTRIBUTE.system]: MESSAGING_SYSTEM,
    [ATTRIBUTE.operationName]: 'process',
    [ATTRIBUTE.destination]: type,
    [ATTRIBUTE.consumerGroup]: taskQueue,
  };
  const made = {
    labels,
    duration: instruments.processDuration,
    consumed: instruments.consumedMessages.sumOf(labels),
    completed: instruments.attempts.sumOf({ type, outcome: 'completed' }),
    criticalTime: instruments.criticalTime,
    type: { type },
  };
  attempts.set(key, made);
  return made;
}
