import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildTimeline } from '../../../src/operations/timeline.ts';
import type { DeadLetter } from '../../../src/store/dead-letters.ts';
import type { Entry } from '../../../src/store/entries.ts';
import type { Failure } from '../../../src/store/failures.ts';

const at = (second: number) => new Date(1_000 * second);

describe('the timeline of a message', () => {
  it('is sorted by time, with causes before their effects', () => {
    const items = buildTimeline({
      entry: {
        commandType: 'Pay',
        receivedAt: at(1),
        processedAt: at(9),
        attempt: 3,
        causationId: 'order-1',
        correlationId: 'flow-1',
        payload: { cents: 2 },
        prunedAt: null,
      } as unknown as Entry,
      failures: [
        { failedAt: at(2), attempt: 1, error: 'Error: no', nextRetryAt: at(3), retryable: true, worker: 'w' },
        { failedAt: at(3), attempt: 2, error: 'Error: no', nextRetryAt: null, retryable: true, worker: null },
      ].map((failure) => ({ buildId: null, ...failure }) as Failure),
      deadLetters: [
        {
          deadAt: at(3),
          id: 'd',
          generation: 0,
          payload: { cents: 1 },
          prunedAt: null,
          reason: 'exhausted',
          retryCount: 2,
          failureGroup: 'Pay/Error/1',
        } as unknown as DeadLetter,
      ],
      audit: [
        {
          at: at(8),
          action: 'replay',
          actor: 'ann',
          reason: 'fixed',
          details: { changed: ['cents'], deadLetterId: 'd' },
        },
      ],
      events: [
        { type: 'Paid', aggregateType: 'order', aggregateId: '1', createdAt: at(9), publishedAt: null },
      ],
    });
    assert.deepEqual(
      items.map(({ what, text }) => `${what}: ${text}`),
      [
        'received: Pay, caused by order-1, flow flow-1',
        'failed: attempt 1 on w: Error: no; next attempt at 1970-01-01T00:00:03.000Z',
        'failed: attempt 2: Error: no; no attempts left',
        'dead letter: all 2 attempts failed; group Pay/Error/1',
        'replay: by ann: fixed; payload changed: cents 1 → 2',
        'completed: in attempt 3',
        'event: Paid of order 1, not published',
      ],
    );
  });
});
