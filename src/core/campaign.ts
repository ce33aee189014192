/**
 * Decides a campaign's next step and formats its progress, without a clock, a server or a database. The workflow calls this
 * in Temporal's sandbox; its activity calls it between two replays.
 *
 * @module
 */
import type { CampaignState } from './protocol.ts';

/** How a campaign works through its dead letters. */
export interface CampaignPlan {
  /** How many replays must settle before the others start; 0 for no canary. */
  canary: number;
  /** Maximum replays per second. */
  rate: number;
  /** Maximum replays in progress at the same time. */
  concurrency: number;
  /** The share of failures, from 0 to 1, above which the campaign stops automatically. */
  stopAbove: number;
}

/** A campaign's progress, in numbers of messages. */
export interface CampaignFigures {
  total: number;
  completed: number;
  /** Became dead letters again. */
  failed: number;
  /** Resolved by someone else before the campaign reached them. */
  skipped: number;
  /** Requested and not settled yet. */
  inFlight: number;
  /** The replays in progress that have failed and are being retried. */
  retrying: number;
}

/** The replays that the failure share is computed from: those since the campaign started or was resumed. */
export interface JudgedReplays {
  /** Completed or failed: the latest `JUDGED_AT_MOST`, or the canary. */
  settled: number;
  failed: number;
  /** In progress; they count as soon as they are settled. */
  inFlight: number;
}

export interface CampaignSnapshot extends CampaignPlan, CampaignFigures {
  id: string;
  state: CampaignState;
  stateReason: string | null;
  actor: string;
  reason: string | null;
  judged: JudgedReplays;
}

export type CampaignStep =
  /** Request at most this many more replays, as fast as the rate allows. */
  | { kind: 'ask'; limit: number }
  /** Wait for the replays in progress. */
  | { kind: 'wait' }
  /** Too many replays failed. */
  | { kind: 'stop' }
  | { kind: 'finish' };

/** Only the latest replays count, so that a fix that breaks late is noticed as quickly as one that never worked. */
export const JUDGED_AT_MOST = 100;
/** After the canary, a campaign is judged once this many replays have settled. With fewer, a single failure says little. */
const JUDGED_AT_LEAST = 10;

/**
 * The next step of a Running campaign.
 *
 * The canary is judged when all of it is settled. Skipped items do not count toward the canary because they say nothing
 * about the fix; other items are replayed instead.
 */
export function nextStep(snapshot: CampaignSnapshot): CampaignStep {
  const { canary, concurrency, inFlight, judged } = snapshot;
  const remaining = countRemaining(snapshot);
  if (remaining === 0) return { kind: inFlight === 0 ? 'finish' : 'wait' };
  if (isJudged(snapshot) && judged.failed > snapshot.stopAbove * judged.settled) return { kind: 'stop' };
  const capacity = Math.min(remaining, concurrency - inFlight);
  const limit = isCanary(snapshot) ? Math.min(capacity, canary - judged.settled - judged.inFlight) : capacity;
  return limit > 0 ? { kind: 'ask', limit } : { kind: 'wait' };
}

export function countSettled({ completed, failed, skipped }: CampaignFigures): number {
  return completed + failed + skipped;
}

/** Counts the items that are neither settled nor in progress. */
export function countRemaining(figures: CampaignFigures): number {
  return figures.total - countSettled(figures) - figures.inFlight;
}

export function isCanary({ canary, judged }: Pick<CampaignSnapshot, 'canary' | 'judged'>): boolean {
  return judged.settled < canary;
}

function isJudged({ canary, judged: { settled } }: CampaignSnapshot): boolean {
  return (settled > 0 && settled === canary) || settled >= Math.max(canary, JUDGED_AT_LEAST);
}

/** How many replays to request per time window, so that they are spread out and no second exceeds the rate. */
export function pace(rate: number): { count: number; windowMs: number } {
  const count = Math.max(1, Math.ceil(rate / 5));
  return { count, windowMs: (count / rate) * 1_000 };
}

/** `3 of 20 failed (15 %)`, for the replays that are judged. */
export function failureShare({ settled, failed }: Pick<JudgedReplays, 'settled' | 'failed'>): string {
  return settled === 0 ? 'none settled yet' : `${failed} of ${settled} failed (${percent(failed / settled)})`;
}

export function percent(share: number): string {
  return `${Math.round(share * 1_000) / 10} %`;
}

/** `1,204 of 2,000 settled: 1,190 completed, 4 failed, 10 skipped; 8 in progress, 2 of them being retried`. */
export function progressText(figures: CampaignFigures): string {
  const { total, completed, failed, skipped, inFlight, retrying } = figures;
  const settled = countSettled(figures);
  const parts = [`${grouped(completed)} completed`, `${grouped(failed)} failed`];
  if (skipped > 0) parts.push(`${grouped(skipped)} skipped`);
  const inProgress =
    inFlight === 0
      ? ''
      : `; ${inFlight} in progress${retrying > 0 ? `, ${retrying} of them being retried` : ''}`;
  return `${grouped(settled)} of ${grouped(total)} settled: ${parts.join(', ')}${inProgress}`;
}

/** `████████░░░░ 67 %` */
export function bar(figures: CampaignFigures, width = 24): string {
  const share = countSettled(figures) / figures.total;
  const full = Math.floor(share * width);
  return `${'█'.repeat(full)}${'░'.repeat(width - full)} ${Math.floor(share * 100)} %`;
}

/** Not toLocaleString: the locale of Temporal's sandbox is undefined. */
export function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}
