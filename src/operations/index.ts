/**
 * Operations on messages and campaigns: show, replay, discard. The CLI and every console call these functions.
 *
 * @module
 */
export { discard, replay, whyPending } from './replay-discard.ts';
export type { ActionAnswer, Operator } from './replay-discard.ts';
export { deadLetters, deadLettersOf, failureGroups, list, show, stats } from './queries.ts';
export type { DeadLetterQuery, EntryStory, InboxStats, StatsOptions } from './queries.ts';
export {
  abortCampaign,
  campaignProgress,
  DEFAULT_PLAN,
  followCampaign,
  listCampaigns,
  pauseCampaign,
  previewReplay,
  resumeCampaign,
  showCampaign,
  startCampaign,
} from './campaigns.ts';
export type { CampaignRequest, CampaignStory, FollowOptions, ReplayPreview } from './campaigns.ts';
export { discardAll } from './discard-all.ts';
export type { BulkDiscard, DiscardAllOptions } from './discard-all.ts';
export { dryRun } from './dry-run.ts';
export type { DryRunFailure, DryRunOptions, DryRunResult } from './dry-run.ts';
export { restore } from './restore.ts';
export { parkedEvents, releaseAllEvents, releaseEvent, skipEvent } from './outbox.ts';
export type { ParkedEvent } from './outbox.ts';
export { auditTrail } from './audit.ts';
export type { AuditFilter, AuditTrailLine } from './audit.ts';
export type { DeadLetterFilter } from '../store/dead-letter-filter.ts';
export { RESOLUTION_STATES } from '../store/dead-letter-reports.ts';
export type { ResolutionState } from '../store/dead-letter-reports.ts';
export type { EntryFilter } from '../store/reports.ts';
export { MAX_RELATED_MESSAGES } from '../store/causation.ts';
export { workflowState } from './workflow-state.ts';
export type { WorkflowCondition } from './workflow-state.ts';
