/**
 * Signals and queries. The arguments of signals come from outside; the activities validate them.
 *
 * @module
 */
import { defineQuery, defineSignal } from '@temporalio/workflow';
import type { CampaignSnapshot } from '../src/core/campaign.ts';
import {
  ABORT_SIGNAL,
  DISCARD_SIGNAL,
  PAUSE_SIGNAL,
  PROGRESS_QUERY,
  REPLAY_SIGNAL,
  RESUME_SIGNAL,
  STATUS_QUERY,
} from '../src/core/protocol.ts';
import type { DiscardRequest, OperatorNote, ReplayRequest, StatusReport } from '../src/core/protocol.ts';

/** Handled by `handleCommand`. */
export const replaySignal = defineSignal<[ReplayRequest?]>(REPLAY_SIGNAL);
export const discardSignal = defineSignal<[DiscardRequest?]>(DISCARD_SIGNAL);
export const statusQuery = defineQuery<StatusReport>(STATUS_QUERY);

/** Handled by `replayCampaign`. */
export const pauseSignal = defineSignal<[OperatorNote?]>(PAUSE_SIGNAL);
export const resumeSignal = defineSignal<[OperatorNote?]>(RESUME_SIGNAL);
export const abortSignal = defineSignal<[OperatorNote?]>(ABORT_SIGNAL);
export const progressQuery = defineQuery<CampaignSnapshot | null>(PROGRESS_QUERY);
