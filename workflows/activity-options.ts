/**
 * How each activity is run: limits, retries, and the summary that the Web UI's timeline shows.
 *
 * @module
 */
import { proxyActivities, proxyLocalActivities, workflowInfo } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import type { CommandFacts, Origin } from '../src/core/activity-messages.ts';
import { CAMPAIGN_PRIORITY, INBOX_MEMO, ORDINARY_PRIORITY } from '../src/core/protocol.ts';
import { DEFAULT_RETRY_POLICY } from '../src/core/retry-policy.ts';

/** Around the attempt's own limit: connecting, claiming and recording take their time when Postgres is slow. */
const MARGIN_MS = 60_000;
/** The longest limit of a command that is not long-running, and the margin. */
const FIRST_ATTEMPT_LIMIT_MS = 60_000 + MARGIN_MS;
/** A worker that died is noticed this soon. */
const HEARTBEAT_TIMEOUT_MS = 10_000;

type FirstAttempt = Pick<Activities, 'firstAttempt'>;
type RecordReader = Pick<Activities, 'readRecord'>;
type Attempts = Pick<Activities, 'retry' | 'longRunningAttempt'>;
type AlertActions = Pick<Activities, 'tellOfDeadLetters'>;
type OperatorActions = Pick<Activities, 'replayDeadLetter' | 'discardDeadLetter' | 'deadLetterCancelled'>;
type CampaignWork = Pick<Activities, 'lookAtCampaign' | 'replayItems'>;
type CampaignChanges = Pick<Activities, 'changeCampaign'>;
/** For whom it is done: what is done for a campaign gives way to everything else. */
export type Lane = 'ordinary' | 'campaign';

/** For the input of every activity: the inbox that started this workflow, when its memo says. */
export function origin(): Origin {
  const inbox = workflowInfo().memo?.[INBOX_MEMO];
  return typeof inbox === 'string' ? { inbox } : {};
}

/** In the workflow task itself, once: a local activity that backs off would hold its slot all the while. */
export function firstAttempt(summary: string): FirstAttempt {
  return proxyLocalActivities<FirstAttempt>({
    startToCloseTimeout: FIRST_ATTEMPT_LIMIT_MS,
    retry: { maximumAttempts: 1 },
    localRetryThreshold: 1,
    summary,
  });
}

/** In the workflow task itself, once. What fails here is found out by the ordinary way. */
export function recordReader(): RecordReader {
  return proxyLocalActivities<RecordReader>({
    startToCloseTimeout: MARGIN_MS,
    retry: { maximumAttempts: 1 },
    localRetryThreshold: 1,
    summary: 'what came of it',
  });
}

/**
 * The longest wait after a try that was lost with its worker or ran out of time. All others say themselves when the next one
 * is due. Temporal's count of tries includes those that did nothing, because the worker did not know the type or Postgres was
 * away, so its backoff alone would reach minutes.
 */
const LOST_TRY_WAIT_MS = 10_000;

/**
 * Retried by Temporal for as long as the attempt does not say that the command is settled. The number of attempts is
 * counted in Postgres: a Postgres that is away for an hour must not use them up.
 */
export function activitiesFor(
  facts: CommandFacts | null,
  summary: string,
  lane: Lane = 'ordinary',
): Attempts {
  const policy = facts ?? DEFAULT_RETRY_POLICY;
  return proxyActivities<Attempts>({
    startToCloseTimeout: facts ? facts.timeoutMs + MARGIN_MS : FIRST_ATTEMPT_LIMIT_MS,
    heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
    retry: {
      initialInterval: Math.min(policy.initialIntervalMs, LOST_TRY_WAIT_MS),
      backoffCoefficient: policy.backoffCoefficient,
      maximumInterval: Math.min(policy.maximumIntervalMs, LOST_TRY_WAIT_MS),
    },
    summary,
    ...priorityOf(lane),
  });
}

/** For as long as it takes: when it is enough, the activity knows. It says itself how long to wait, with some jitter. */
export function alertActivities(): AlertActions {
  return proxyActivities<AlertActions>({
    startToCloseTimeout: MARGIN_MS,
    heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
    retry: { initialInterval: 1_000, maximumInterval: 300_000 },
  });
}

export function operatorActivities(summary: string, lane: Lane = 'ordinary'): OperatorActions {
  return proxyActivities<OperatorActions>({ ...SHORT, summary, ...priorityOf(lane) });
}

export function campaignActivities(summary: string): CampaignWork {
  return proxyActivities<CampaignWork>({ ...SHORT, summary, priority: CAMPAIGN_PRIORITY });
}

export function campaignChanges(summary: string): CampaignChanges {
  return proxyActivities<CampaignChanges>({ ...SHORT, summary, priority: ORDINARY_PRIORITY });
}

/** What works in Postgres alone, for as long as it takes. */
const SHORT = {
  startToCloseTimeout: MARGIN_MS,
  heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
  retry: { initialInterval: 500, maximumInterval: 10_000 },
};

/** A command's own workflow has none set, so that the histories of those without a campaign stay as they are. */
function priorityOf(lane: Lane) {
  return lane === 'campaign' ? { priority: CAMPAIGN_PRIORITY } : {};
}
