/**
 * The inbox through a Temporal client: starts, replays and discards commands, and sets up a namespace. Needs no access to
 * Postgres.
 *
 * @module temporal-inbox/temporal
 */
export {
  ABORT_SIGNAL,
  CAMPAIGN_STATES,
  CAMPAIGN_WORKFLOW_TYPE,
  DEFAULT_TASK_QUEUE,
  DISCARD_SIGNAL,
  PAUSE_SIGNAL,
  PROGRESS_QUERY,
  REPLAY_SIGNAL,
  RESUME_SIGNAL,
  SEARCH_ATTRIBUTES,
  STATUS_QUERY,
  WORKFLOW_TYPE,
} from '../core/protocol.ts';
export type {
  CampaignArgument,
  CampaignState,
  DiscardRequest,
  Envelope,
  MessageOptions,
  OperatorNote,
  ReplayRequest,
  StatusReport,
} from '../core/protocol.ts';
export type { WithDeadline } from './answer-limit.ts';
export { discardCommand, replayCommand, startCommand } from './client-commands.ts';
export type { CommandHandle, SignalOptions, StartOptions } from './client-commands.ts';
export { deadLettersLink, failureGroupLink, workflowLink } from './web-ui.ts';
export type { WebUi } from './web-ui.ts';
export { missingSearchAttributes, registerSearchAttributes } from './search-attributes.ts';
export type {
  AttributeChoice,
  OperatorConnection,
  Registration,
  UsableAttributes,
} from './search-attributes.ts';
