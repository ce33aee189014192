/**
 * Metrics of one worker process that are read when an SDK asks for them: slots and connections.
 *
 * @module
 */
import type { BatchObservableCallback } from '@opentelemetry/api';
import { ATTRIBUTE, METRIC } from './conventions.ts';
import { meter } from './tracer.ts';

export interface Slots {
  /** Held by running attempts, or reserved for one. */
  used: number;
  total: number;
}

export interface Connections {
  /** Opened, idle or not. */
  open: number;
  idle: number;
  /** Requests that wait for a connection. */
  waiting: number;
}

export interface WorkerState {
  taskQueue: string;
  slots: Record<string, () => Slots>;
  pools: Record<string, () => Connections>;
}

/** Observes the worker until the returned function is called. */
export function observeWorker({ taskQueue, slots, pools }: WorkerState): () => void {
  const own = meter();
  const slotGauge = own.createObservableGauge(METRIC.slots, {
    description: 'Slots for attempts, by kind of attempt and state',
    unit: '{slot}',
  });
  const poolGauge = own.createObservableGauge(METRIC.pool, {
    description: 'Connections to Postgres and requests that wait for one, by pool and state',
    unit: '{connection}',
  });
  const queue = { [ATTRIBUTE.consumerGroup]: taskQueue };
  const observe: BatchObservableCallback = (result) => {
    for (const [kind, read] of Object.entries(slots))
      for (const [state, count] of Object.entries(read()))
        result.observe(slotGauge, count, { ...queue, kind, state });
    for (const [pool, read] of Object.entries(pools))
      for (const [state, count] of Object.entries(read()))
        result.observe(poolGauge, count, { ...queue, pool, state });
  };
  const gauges = [slotGauge, poolGauge];
  own.addBatchObservableCallback(observe, gauges);
  return () => own.removeBatchObservableCallback(observe, gauges);
}
