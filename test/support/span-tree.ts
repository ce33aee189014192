/**
 * Spans as text, one line each, so that a test can compare whole traces.
 *
 * @module
 */
import type { ReceivedSpan } from './otlp.ts';

/**
 * Draws the trees of a trace. Children are in the order of their lines, because the SDK takes the times of spans from two clocks:
 * spans that start within a millisecond may seem to start in another order.
 */
export function drawTrace(spans: readonly ReceivedSpan[], traceId: string): string[] {
  const own = spans.filter((span) => span.traceId === traceId);
  const ids = new Set(own.map(({ spanId }) => spanId));
  const childrenOf = (parent: string) => own.filter(({ parentSpanId }) => parentSpanId === parent);
  const draw = (span: ReceivedSpan, depth: number): string => {
    const children = childrenOf(span.spanId).map((child) => draw(child, depth + 1));
    return [`${'  '.repeat(depth)}${span.name} [${span.kind}]`, ...children.toSorted()].join('\n');
  };
  // The parent of the first span may be in another process, which exports nothing.
  const roots = own.filter(({ parentSpanId }) => !ids.has(parentSpanId)).map((root) => draw(root, 0));
  return roots.toSorted().flatMap((root) => root.split('\n'));
}
