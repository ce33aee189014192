/**
 * The options of each activity: time limits, retries, and the summary that the Web UI's timeline shows.
 *
 * @module
 */
import { proxyActivities, proxyLocalActivities, workflowInfo } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import type { CommandFacts, Origin } from '../src/core/activity-messages.ts';
import { CAMPAIGN_PRIORITY, INBOX_MEMO, ORDINARY_PRIORITY } from '../src/core/protocol.ts';
import { DEFAULT_RETRY_POLICY } from '../src/core/retry-policy.ts';

/** Added to the attempt's own limit, because connecting, claiming and recording take time when Postgres is slow. */
const MARGIN_MS = 60_000;
/** The longest limit of a command that is not long-running, plus the margin. */
const FIRST_ATTEMPT_LIMIT_MS = 60_000 + MARGIN_MS;
/** How soon Temporal notices a dead worker. */
const HEARTBEAT_TIMEOUT_MS = 10_000;

type FirstAttemptActivities = Pick<Activities, 'firstAttempt'>;
type RecordActivities = Pick<Activities, 'readRecord'>;
type AttemptActivities = Pick<Activities, 'retry' | 'longRunningAttempt'>;
type AlertActivities = Pick<Activities, 'tellOfDeadLetters'>;
type OperatorActivities = Pick<Activities, 'replayDeadLetter' | 'discardDeadLetter' | 'deadLetterCancelled'>;
type CampaignActivities = Pick<Activities, 'lookAtCampaign' | 'replayItems'>;
type CampaignChangeActivities = Pick<Activities, 'changeCampaign'>;
/** Work for a campaign has a lower priority than everything else. */
export type PriorityClass = 'ordinary' | 'campaign';

/** Part of the input of every activity: the inbox that started this workflow, if its memo names one. */
export function origin(): Origin {
  const inbox = workflowInfo().memo?.[INBOX_MEMO];
  return typeof inbox === 'string' ? { inbox } : {};
}

/** Runs once, in the workflow task itself: a local activity that backs off would hold its slot during the wait. */
export function firstAttemptActivities(summary: string): FirstAttemptActivities {
  return proxyLocalActivities<FirstAttemptActivities>({
    startToCloseTimeout: FIRST_ATTEMPT_LIMIT_MS,
    retry: { maximumAttempts: 1 },
    localRetryThreshold: 1,
    summary,
  });
}

/** Runs once, in the workflow task itself. If it fails, the command's ordinary attempts decide instead. */
export function recordActivities(): RecordActivities {
  return proxyLocalActivities<RecordActivities>({
    startToCloseTimeout: MARGIN_MS,
    retry: { maximumAttempts: 1 },
    localRetryThreshold: 1,
    summary: 'read the stored result',
  });
}

/**
 * The longest wait after an activity attempt that timed out or was lost with its worker. All other attempts return their own
 * retry delay. Temporal also counts attempts that did nothing because the worker did not know the type or Postgres was
 * unavailable, so its backoff alone would reach minutes.
 */
const LOST_ATTEMPT_WAIT_MS = 10_000;

/**
 * Temporal retries these activities until the attempt reports that the command is settled. Postgres counts the command's
 * attempts, so that a Postgres outage of an hour doesn't use them up.
 */
export function attemptActivities(
  facts: CommandFacts | null,
  summary: string,
  priority: PriorityClass = 'ordinary',
): AttemptActivities {
  const policy = facts ?? DEFAULT_RETRY_POLICY;
  return proxyActivities<AttemptActivities>({
    startToCloseTimeout: facts ? facts.timeoutMs + MARGIN_MS : FIRST_ATTEMPT_LIMIT_MS,
    heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
    retry: {
      initialInterval: Math.min(policy.initialIntervalMs, LOST_ATTEMPT_WAIT_MS),
      backoffCoefficient: policy.backoffCoefficient,
      maximumInterval: Math.min(policy.maximumIntervalMs, LOST_ATTEMPT_WAIT_MS),
    },
    summary,
    ...priorityOf(priority),
  });
}

/** Has no retry limit: the activity decides when to give up. It also returns its own retry delay, with some jitter. */
export function alertActivities(): AlertActivities {
  return proxyActivities<AlertActivities>({
    startToCloseTimeout: MARGIN_MS,
    heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
    retry: { initialInterval: 1_000, maximumInterval: 300_000 },
  });
}

export function operatorActivities(
  summary: string,
  priority: PriorityClass = 'ordinary',
): OperatorActivities {
  return proxyActivities<OperatorActivities>({ ...WITHOUT_HANDLER, summary, ...priorityOf(priority) });
}

export function campaignActivities(summary: string): CampaignActivities {
  return proxyActivities<CampaignActivities>({ ...WITHOUT_HANDLER, summary, priority: CAMPAIGN_PRIORITY });
}

export function campaignChangeActivities(summary: string): CampaignChangeActivities {
  return proxyActivities<CampaignChangeActivities>({
    ...WITHOUT_HANDLER,
    summary,
    priority: ORDINARY_PRIORITY,
  });
}

/** For activities without a handler: they are short, and Temporal retries them without a limit. */
const WITHOUT_HANDLER = {
  startToCloseTimeout: MARGIN_MS,
  heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
  retry: { initialInterval: 500, maximumInterval: 10_000 },
};

/** Sets no priority for ordinary commands, so that the histories of workflows without a campaign stay as they are. */
function priorityOf(priorityClass: PriorityClass) {
  return priorityClass === 'campaign' ? { priority: CAMPAIGN_PRIORITY } : {};
}
