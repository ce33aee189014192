/**
 * What operators do: look, replay, discard. The command line and any console call these; none has logic of its own.
 *
 * @module
 */
export { discard, replay, whyPending } from './operations/act.ts';
export type { ActionAnswer, Operator } from './operations/act.ts';
export { deadLetters, deadLettersOf, failureGroups, list, show, stats } from './operations/look.ts';
export type { DeadLetterQuery, EntryStory, InboxStats, StatsOptions } from './operations/look.ts';
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
} from './operations/campaigns.ts';
export type { CampaignRequest, CampaignStory, FollowOptions, ReplayPreview } from './operations/campaigns.ts';
export { discardAll } from './operations/discard-all.ts';
export type { BulkDiscard, DiscardAllOptions } from './operations/discard-all.ts';
export { dryRun } from './operations/dry-run.ts';
export type { DryRunFailure, DryRunOptions, DryRunResult } from './operations/dry-run.ts';
export { restore } from './operations/restore.ts';
export { parkedEvents, releaseAllEvents, releaseEvent, skipEvent } from './operations/outbox.ts';
export type { ParkedEvent } from './operations/outbox.ts';
export { auditTrail } from './operations/audit.ts';
export type { AuditFilter, AuditTrailLine } from './operations/audit.ts';
