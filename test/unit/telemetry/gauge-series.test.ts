/** Gauges whose series come and go. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BatchObservableResult, ObservableGauge } from '@opentelemetry/api';
import { GaugeSeries, MAX_GONE } from '../../../src/telemetry/gauge-series.ts';

/** Stands for a gauge of an SDK: only its identity matters. */
const gauge = { addCallback() {}, removeCallback() {} } as ObservableGauge;

function observe(series: GaugeSeries, values: Record<string, number>, now: number): Record<string, number> {
  const observed: Record<string, number> = {};
  const result = {
    observe: (_gauge: unknown, value: number, { group }: { group: string }) => {
      observed[group] = value;
    },
  } as unknown as BatchObservableResult;
  const observations = Object.entries(values).map(([group, value]) => ({
    gauge,
    value,
    attributes: { group },
  }));
  series.observe(result, observations, now);
  return observed;
}

describe('GaugeSeries', () => {
  it('observes series that are gone as 0, for ten minutes', () => {
    const series = new GaugeSeries();
    assert.deepEqual(observe(series, { a: 1, b: 2 }, 0), { a: 1, b: 2 });
    assert.deepEqual(observe(series, { a: 3 }, 1_000), { a: 3, b: 0 });
    assert.deepEqual(observe(series, { a: 3 }, 600_000), { a: 3, b: 0 });
    assert.deepEqual(observe(series, { a: 3 }, 601_000), { a: 3 });
    assert.deepEqual(observe(series, { b: 1 }, 602_000), { a: 0, b: 1 });
  });

  it('keeps a limited number of series that are gone: the latest', () => {
    const series = new GaugeSeries();
    for (let n = 0; n < 3 * MAX_GONE; n += 1) observe(series, { [`group-${n}`]: 1 }, n);
    const observed = observe(series, {}, 3 * MAX_GONE);
    assert.equal(Object.keys(observed).length, MAX_GONE);
    assert.equal(observed[`group-${3 * MAX_GONE - 1}`], 0);
  });
});
