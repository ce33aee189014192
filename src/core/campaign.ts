/**
 * What a campaign does next, and how it is told: decisions without a clock, a server or a database. The workflow makes
 * them in the sandbox, its activity between two replays.
 *
 * @module
 */
import type { CampaignState } from './protocol.ts';

/** How a campaign goes about its set. */
export interface CampaignPlan {
  /** So many are replayed and settled before the others; 0 for none. */
  canary: number;
  /** Replays a second at most. */
  rate: number;
  /** Replays under way at most. */
  concurrency: number;
  /** The share of failures, 0 to 1, above which the campaign stops by itself. */
  stopAbove: number;
}

/** How far it has come. */
export interface CampaignFigures {
  total: number;
  completed: number;
  /** Died again. */
  failed: number;
  /** Resolved by somebody else before the campaign came to them. */
  skipped: number;
  /** Asked for and not settled. */
  inFlight: number;
  /** Of those in flight: failed, and being tried again by themselves. */
  retrying: number;
}

/** What the failure share is taken of: since the campaign began, or was resumed. */
export interface Judgement {
  /** Completed or failed, the latest {@link JUDGED_AT_MOST} or the canary. */
  settled: number;
  failed: number;
  /** In flight, and to be judged once settled. */
  inFlight: number;
}

export interface CampaignSnapshot extends CampaignPlan, CampaignFigures {
  id: string;
  state: CampaignState;
  stateReason: string | null;
  actor: string;
  reason: string | null;
  judged: Judgement;
}

export type CampaignStep =
  /** At most so many more, as fast as the rate lets. */
  | { kind: 'ask'; limit: number }
  /** For what is in flight. */
  | { kind: 'wait' }
  /** Too many failed. */
  | { kind: 'stop' }
  | { kind: 'finish' };

/** The share is that of the latest so many, so that a fix which breaks late is noticed as soon as one that is broken. */
export const JUDGED_AT_MOST = 100;
/** Below this, and after the canary, one failure more or less says nothing. */
const JUDGED_AT_LEAST = 10;

/**
 * The next step of a Running campaign.
 *
 * The canary is judged when all of it is settled. Skipped items are not of it: they tell nothing of the fix, so others are
 * replayed in their place.
 */
export function nextStep(look: CampaignSnapshot): CampaignStep {
  const { canary, concurrency, inFlight, judged } = look;
  const left = itemsLeft(look);
  if (left === 0) return { kind: inFlight === 0 ? 'finish' : 'wait' };
  if (isJudged(look) && judged.failed > look.stopAbove * judged.settled) return { kind: 'stop' };
  const room = Math.min(left, concurrency - inFlight);
  const limit = isCanary(look) ? Math.min(room, canary - judged.settled - judged.inFlight) : room;
  return limit > 0 ? { kind: 'ask', limit } : { kind: 'wait' };
}

export function settledOf({ completed, failed, skipped }: CampaignFigures): number {
  return completed + failed + skipped;
}

/** Neither settled nor in flight. */
export function itemsLeft(figures: CampaignFigures): number {
  return figures.total - settledOf(figures) - figures.inFlight;
}

export function isCanary({ canary, judged }: Pick<CampaignSnapshot, 'canary' | 'judged'>): boolean {
  return judged.settled < canary;
}

function isJudged({ canary, judged: { settled } }: CampaignSnapshot): boolean {
  return (settled > 0 && settled === canary) || settled >= Math.max(canary, JUDGED_AT_LEAST);
}

/** How many replays in how long a time, so that no second has more than the rate and none has them all at once. */
export function pace(rate: number): { count: number; windowMs: number } {
  const count = Math.max(1, Math.ceil(rate / 5));
  return { count, windowMs: (count / rate) * 1_000 };
}

/** `3 of 20 failed (15 %)`, of what is judged. */
export function failureShare({ settled, failed }: Pick<Judgement, 'settled' | 'failed'>): string {
  return settled === 0 ? 'none settled yet' : `${failed} of ${settled} failed (${percent(failed / settled)})`;
}

export function percent(share: number): string {
  return `${Math.round(share * 1_000) / 10} %`;
}

/** `1,204 of 2,000 settled: 1,190 completed, 4 failed, 10 skipped; 8 under way, 2 of them being tried again`. */
export function figuresText(figures: CampaignFigures): string {
  const { total, completed, failed, skipped, inFlight, retrying } = figures;
  const settled = settledOf(figures);
  const parts = [`${grouped(completed)} completed`, `${grouped(failed)} failed`];
  if (skipped > 0) parts.push(`${grouped(skipped)} skipped`);
  const underWay =
    inFlight === 0
      ? ''
      : `; ${inFlight} under way${retrying > 0 ? `, ${retrying} of them being tried again` : ''}`;
  return `${grouped(settled)} of ${grouped(total)} settled: ${parts.join(', ')}${underWay}`;
}

/** `████████░░░░ 67 %` */
export function bar(figures: CampaignFigures, width = 24): string {
  const share = settledOf(figures) / figures.total;
  const full = Math.floor(share * width);
  return `${'█'.repeat(full)}${'░'.repeat(width - full)} ${Math.floor(share * 100)} %`;
}

/** Not toLocaleString: a sandbox's locale is nobody's. */
export function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}
