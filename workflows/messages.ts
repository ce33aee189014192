/**
 * Signals and queries of `handleCommand`. What a signal brings comes from outside; the activities check it.
 *
 * @module
 */
import { defineQuery, defineSignal } from '@temporalio/workflow';
import { DISCARD_SIGNAL, REPLAY_SIGNAL, STATUS_QUERY } from '../src/protocol.ts';
import type { DiscardRequest, ReplayRequest, StatusReport } from '../src/protocol.ts';

export const replaySignal = defineSignal<[ReplayRequest?]>(REPLAY_SIGNAL);
export const discardSignal = defineSignal<[DiscardRequest?]>(DISCARD_SIGNAL);
export const statusQuery = defineQuery<StatusReport>(STATUS_QUERY);
