import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bar, failureShare, figuresText, grouped, nextStep, pace } from '../../../src/core/campaign.ts';
import type { CampaignSnapshot, Judgement } from '../../../src/core/campaign.ts';

type Differences = Partial<Omit<CampaignSnapshot, 'judged'>> & { judged?: Partial<Judgement> };

/** A campaign of 100 that has just begun, but for what differs. */
function look({ judged, ...differences }: Differences = {}): CampaignSnapshot {
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

describe('the next step of a campaign', () => {
  it('is the canary, and nothing else until it is settled', () => {
    assert.deepEqual(nextStep(look()), { kind: 'ask', limit: 5 });
    assert.deepEqual(nextStep(look({ concurrency: 2 })), { kind: 'ask', limit: 2 });
    assert.deepEqual(nextStep(look({ inFlight: 5, judged: { inFlight: 5 } })), { kind: 'wait' });
    const almost = { completed: 4, inFlight: 1, judged: { settled: 4, inFlight: 1 } };
    assert.deepEqual(nextStep(look(almost)), { kind: 'wait' });
    assert.deepEqual(nextStep(look({ completed: 5, judged: { settled: 5 } })), { kind: 'ask', limit: 10 });
  });

  it('replays others where somebody else has resolved those of the canary', () => {
    assert.deepEqual(nextStep(look({ skipped: 5 })), { kind: 'ask', limit: 5 });
  });

  it('does not judge the canary before all of it is settled', () => {
    const failing = { failed: 4, inFlight: 1, judged: { settled: 4, failed: 4, inFlight: 1 } };
    assert.deepEqual(nextStep(look(failing)), { kind: 'wait' });
    assert.deepEqual(nextStep(look({ failed: 5, judged: { settled: 5, failed: 5 } })), { kind: 'stop' });
    assert.deepEqual(nextStep(look({ completed: 4, failed: 1, judged: { settled: 5, failed: 1 } })), {
      kind: 'stop',
    });
  });

  it('begins at once without a canary, and lets one early failure pass', () => {
    assert.deepEqual(nextStep(look({ canary: 0 })), { kind: 'ask', limit: 10 });
    assert.equal(nextStep(look({ canary: 0, failed: 1, judged: { settled: 1, failed: 1 } })).kind, 'ask');
    assert.equal(nextStep(look({ failed: 1, completed: 5, judged: { settled: 6, failed: 1 } })).kind, 'ask');
  });

  it('stops above the share, not at it', () => {
    const at = { completed: 18, failed: 2, judged: { settled: 20, failed: 2 } };
    assert.equal(nextStep(look(at)).kind, 'ask');
    assert.equal(
      nextStep(look({ completed: 17, failed: 3, judged: { settled: 20, failed: 3 } })).kind,
      'stop',
    );
    const never = { failed: 20, judged: { settled: 20, failed: 20 }, stopAbove: 1 };
    assert.equal(nextStep(look(never)).kind, 'ask');
    assert.equal(nextStep(look({ ...never, stopAbove: 0 })).kind, 'stop');
  });

  it('counts what is under way from before a resume against the concurrency, not against the canary', () => {
    const resumed = { failed: 5, inFlight: 8, judged: {} };
    assert.deepEqual(nextStep(look(resumed)), { kind: 'ask', limit: 2 });
    assert.deepEqual(nextStep(look({ failed: 5, inFlight: 10, judged: {} })), { kind: 'wait' });
  });

  it('is the end when all are settled, whatever became of them', () => {
    assert.deepEqual(nextStep(look({ completed: 90, inFlight: 10 })), { kind: 'wait' });
    assert.deepEqual(nextStep(look({ failed: 100, judged: { settled: 100, failed: 100 } })), {
      kind: 'finish',
    });
    assert.deepEqual(nextStep(look({ skipped: 100 })), { kind: 'finish' });
  });

  it('asks for no more than are left', () => {
    const near = { completed: 97, judged: { settled: 97 } };
    assert.deepEqual(nextStep(look(near)), { kind: 'ask', limit: 3 });
  });
});

describe('the pace of a campaign', () => {
  it('never gives a second more than the rate, and never all of it at once', () => {
    for (const rate of [0.1, 1, 3, 4.9, 7, 20, 21, 1_000]) {
      const { count, windowMs } = pace(rate);
      assert.ok(Number.isInteger(count) && count >= 1);
      assert.ok(Math.abs((count * 1_000) / windowMs - rate) < 1e-9, `${rate}`);
      assert.ok(count <= Math.max(1, Math.ceil(rate / 5)));
    }
  });
});

describe('what is said of a campaign', () => {
  it('names what there is', () => {
    const figures = { total: 2_000, completed: 1_190, failed: 4, skipped: 10, inFlight: 8, retrying: 2 };
    assert.equal(
      figuresText(figures),
      '1,204 of 2,000 settled: 1,190 completed, 4 failed, 10 skipped; 8 under way, 2 of them being tried again',
    );
    assert.equal(
      figuresText({ ...figures, skipped: 0, inFlight: 0 }),
      '1,194 of 2,000 settled: 1,190 completed, 4 failed',
    );
    assert.equal(failureShare({ settled: 40, failed: 6 }), '6 of 40 failed (15 %)');
    assert.equal(failureShare({ settled: 0, failed: 0 }), 'none settled yet');
    assert.equal(bar({ ...figures, completed: 986 }, 10), '█████░░░░░ 50 %');
    assert.deepEqual([0, 999, 1_000, 1_234_567].map(grouped), ['0', '999', '1,000', '1,234,567']);
  });
});
