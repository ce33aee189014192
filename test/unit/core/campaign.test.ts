import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bar, failureShare, progressText, grouped, nextStep, pace } from '../../../src/core/campaign.ts';
import type { CampaignSnapshot, JudgedReplays } from '../../../src/core/campaign.ts';

type Differences = Partial<Omit<CampaignSnapshot, 'judged'>> & { judged?: Partial<JudgedReplays> };

/** A campaign of 100 messages that has just started, with the given differences. */
function snapshot({ judged, ...differences }: Differences = {}): CampaignSnapshot {
  return {
    id: 'c',
    state: 'Running',
    stateReason: null,
    actor: 'ada',
    reason: null,
    canary: 5,
    rate: 20,
    concurrency: 10,
    stopAbove: 0.1,
    total: 100,
    completed: 0,
    failed: 0,
    skipped: 0,
    inFlight: 0,
    retrying: 0,
    ...differences,
    judged: { settled: 0, failed: 0, inFlight: 0, ...judged },
  };
}

describe('nextStep', () => {
  it('replays only the canary until it is settled', () => {
    assert.deepEqual(nextStep(snapshot()), { kind: 'ask', limit: 5 });
    assert.deepEqual(nextStep(snapshot({ concurrency: 2 })), { kind: 'ask', limit: 2 });
    assert.deepEqual(nextStep(snapshot({ inFlight: 5, judged: { inFlight: 5 } })), { kind: 'wait' });
    const almost = { completed: 4, inFlight: 1, judged: { settled: 4, inFlight: 1 } };
    assert.deepEqual(nextStep(snapshot(almost)), { kind: 'wait' });
    assert.deepEqual(nextStep(snapshot({ completed: 5, judged: { settled: 5 } })), {
      kind: 'ask',
      limit: 10,
    });
  });

  it('replaces messages of the canary that someone else has resolved', () => {
    assert.deepEqual(nextStep(snapshot({ skipped: 5 })), { kind: 'ask', limit: 5 });
  });

  it('judges the canary only when all of it is settled', () => {
    const failing = { failed: 4, inFlight: 1, judged: { settled: 4, failed: 4, inFlight: 1 } };
    assert.deepEqual(nextStep(snapshot(failing)), { kind: 'wait' });
    assert.deepEqual(nextStep(snapshot({ failed: 5, judged: { settled: 5, failed: 5 } })), { kind: 'stop' });
    assert.deepEqual(nextStep(snapshot({ completed: 4, failed: 1, judged: { settled: 5, failed: 1 } })), {
      kind: 'stop',
    });
  });

  it('starts at once without a canary, and tolerates one early failure', () => {
    assert.deepEqual(nextStep(snapshot({ canary: 0 })), { kind: 'ask', limit: 10 });
    assert.equal(nextStep(snapshot({ canary: 0, failed: 1, judged: { settled: 1, failed: 1 } })).kind, 'ask');
    assert.equal(
      nextStep(snapshot({ failed: 1, completed: 5, judged: { settled: 6, failed: 1 } })).kind,
      'ask',
    );
  });

  it('stops above the failure limit, not at it', () => {
    const at = { completed: 18, failed: 2, judged: { settled: 20, failed: 2 } };
    assert.equal(nextStep(snapshot(at)).kind, 'ask');
    assert.equal(
      nextStep(snapshot({ completed: 17, failed: 3, judged: { settled: 20, failed: 3 } })).kind,
      'stop',
    );
    const never = { failed: 20, judged: { settled: 20, failed: 20 }, stopAbove: 1 };
    assert.equal(nextStep(snapshot(never)).kind, 'ask');
    assert.equal(nextStep(snapshot({ ...never, stopAbove: 0 })).kind, 'stop');
  });

  it('counts replays from before a resume toward the concurrency, but not toward the canary', () => {
    const resumed = { failed: 5, inFlight: 8, judged: {} };
    assert.deepEqual(nextStep(snapshot(resumed)), { kind: 'ask', limit: 2 });
    assert.deepEqual(nextStep(snapshot({ failed: 5, inFlight: 10, judged: {} })), { kind: 'wait' });
  });

  it('finishes when all messages are settled, whatever their outcome', () => {
    assert.deepEqual(nextStep(snapshot({ completed: 90, inFlight: 10 })), { kind: 'wait' });
    assert.deepEqual(nextStep(snapshot({ failed: 100, judged: { settled: 100, failed: 100 } })), {
      kind: 'finish',
    });
    assert.deepEqual(nextStep(snapshot({ skipped: 100 })), { kind: 'finish' });
  });

  it('requests no more replays than messages remain', () => {
    const near = { completed: 97, judged: { settled: 97 } };
    assert.deepEqual(nextStep(snapshot(near)), { kind: 'ask', limit: 3 });
  });
});

describe('pace', () => {
  it('keeps to the rate, and spreads the replays over each second', () => {
    for (const rate of [0.1, 1, 3, 4.9, 7, 20, 21, 1_000]) {
      const { count, windowMs } = pace(rate);
      assert.ok(Number.isInteger(count) && count >= 1);
      assert.ok(Math.abs((count * 1_000) / windowMs - rate) < 1e-9, `${rate}`);
      assert.ok(count <= Math.max(1, Math.ceil(rate / 5)));
    }
  });
});

describe('the texts about a campaign', () => {
  it('show its progress, its failure share and its progress bar', () => {
    const figures = { total: 2_000, completed: 1_190, failed: 4, skipped: 10, inFlight: 8, retrying: 2 };
    assert.equal(
      progressText(figures),
      '1,204 of 2,000 settled: 1,190 completed, 4 failed, 10 skipped; 8 in progress, 2 of them being retried',
    );
    assert.equal(
      progressText({ ...figures, skipped: 0, inFlight: 0 }),
      '1,194 of 2,000 settled: 1,190 completed, 4 failed',
    );
    assert.equal(failureShare({ settled: 40, failed: 6 }), '6 of 40 failed (15 %)');
    assert.equal(failureShare({ settled: 0, failed: 0 }), 'none settled yet');
    assert.equal(bar({ ...figures, completed: 986 }, 10), '█████░░░░░ 50 %');
    assert.deepEqual([0, 999, 1_000, 1_234_567].map(grouped), ['0', '999', '1,000', '1,234,567']);
  });
});
