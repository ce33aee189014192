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
export type { RestoringOperator } from './restore.ts';
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
// The types that the ones above consist of.
export type { CampaignPlan, CampaignSnapshot, JudgedReplays } from '../core/campaign.ts';
export type { FailedItem } from '../store/campaign-items.ts';
export type { Campaign } from '../store/campaigns.ts';
export type { EmittedEvent, RelatedMessage } from '../store/causation.ts';
export type { GroupPreview } from '../store/dead-letter-preview.ts';
export type { FailureGroup } from '../store/dead-letter-reports.ts';
export type { DeadLetter } from '../store/dead-letters.ts';
export type { StatusCount } from '../store/entry-counts.ts';
export type { Failure } from '../store/failures.ts';
export type { ParkedSummary } from '../store/outbox-lag.ts';
export type { Oldest, Rates } from '../store/rates.ts';
export type { AuditLine, FailureCount } from '../store/reports.ts';
export type { LiveWorker, UnknownType } from '../store/workers.ts';
export type { StoredEvent } from '../store/entries.ts';
export type { DryRunOutcome } from './dry-run-attempt.ts';
export type { TimelineItem } from './timeline.ts';
export type { AttributeChoice, UsableAttributes } from '../temporal/search-attributes.ts';
