/** The trace context in a message's metadata. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createTraceState } from '@opentelemetry/api';
import {
  parseTraceContext,
  traceContextOf,
  withoutTraceContext,
  withTraceContext,
} from '../../../src/telemetry/trace-context.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const PARENT = `00-${TRACE}-${SPAN}-01`;

describe('parseTraceContext', () => {
  it('reads the ids, the flag and the state', () => {
    const context = parseTraceContext(PARENT, 'vendor=1,other=2');
    assert.deepEqual([context?.traceId, context?.spanId, context?.traceFlags], [TRACE, SPAN, 1]);
    assert.equal(context?.isRemote, true);
    assert.equal(context?.traceState?.get('vendor'), '1');
    assert.equal(parseTraceContext(`00-${TRACE}-${SPAN}-00`, undefined)?.traceFlags, 0);
  });

  it('accepts later versions, which may have further fields', () => {
    assert.equal(parseTraceContext(`01-${TRACE}-${SPAN}-01-more`, undefined)?.traceId, TRACE);
  });

  for (const [what, value] of Object.entries({
    nothing: undefined,
    null: null,
    'a number': 1,
    'other text': 'hello',
    'version ff': `ff-${TRACE}-${SPAN}-01`,
    'version 00 with more fields': `${PARENT}-more`,
    'uppercase digits': PARENT.toUpperCase(),
    'a trace of zeros': `00-${'0'.repeat(32)}-${SPAN}-01`,
    'a span of zeros': `00-${TRACE}-${'0'.repeat(16)}-01`,
    'a short trace': `00-${TRACE.slice(1)}-${SPAN}-01`,
  })) {
    it(`returns null for ${what}`, () => {
      assert.equal(parseTraceContext(value, undefined), null);
    });
  }
});

describe('withTraceContext', () => {
  const context = { traceId: TRACE, spanId: SPAN, traceFlags: 1 };

  it('adds what traceContextOf reads', () => {
    const metadata = withTraceContext({ tenant: 'a' }, { ...context, traceState: createTraceState('v=1') });
    assert.deepEqual(metadata, { tenant: 'a', traceparent: PARENT, tracestate: 'v=1' });
    assert.equal(traceContextOf(metadata)?.spanId, SPAN);
    assert.deepEqual(withoutTraceContext(metadata), { tenant: 'a' });
  });

  it('keeps a traceparent that is there, whatever it is', () => {
    for (const traceparent of ['mine', null, 5]) {
      const metadata = { traceparent };
      assert.equal(withTraceContext(metadata, context), metadata);
    }
  });

  it('adds nothing for an invalid context', () => {
    const metadata = {};
    assert.equal(withTraceContext(metadata, { ...context, traceId: '0'.repeat(32) }), metadata);
  });

  it('adds nothing to metadata that is nearly as large as it may be', () => {
    const metadata = { note: 'x'.repeat(65_000) };
    assert.equal(withTraceContext(metadata, context), metadata);
  });

  it('does not keep the state of another context', () => {
    assert.deepEqual(withTraceContext({ tracestate: 'old=1' }, context), { traceparent: PARENT });
  });
});
