/**
 * The activities of the inbox, under the names that the Web UI shows. The name says what is done; the summary says to what.
 *
 * @module
 */
import { activityInfo } from '@temporalio/activity';
import type {
  AttemptInput,
  CampaignChangeInput,
  CampaignInput,
  DiscardInput,
  Origin,
  ReplayInput,
} from '../src/core/activity-messages.ts';
import { createAlertDelivery } from './alert.ts';
import { createAttempt } from './attempt.ts';
import { createCampaignActivities } from './campaign.ts';
import { createCancel } from './cancel.ts';
import type { AlertDependencies, AttemptActivityDependencies } from './dependencies.ts';
import { withHeartbeat } from './heartbeat.ts';
import { createGuard } from './wrong-inbox.ts';
import { createOperatorActivities } from './operator.ts';
import { createRecordReader } from './record.ts';

export type { ActivityDependencies, AlertDependencies } from './dependencies.ts';

export function createActivities(dependencies: AttemptActivityDependencies, alerts: AlertDependencies) {
  const attempt = createAttempt(dependencies);
  const readRecord = createRecordReader(dependencies);
  const deadLetterCancelled = createCancel(dependencies);
  const operator = createOperatorActivities(dependencies);
  const campaign = createCampaignActivities(dependencies);
  const tellOfDeadLetters = createAlertDelivery(alerts);
  const guard = createGuard(dependencies);
  /** Runs the activity only if its workflow belongs to this inbox. */
  const guarded =
    <Input extends Origin, Output>(activity: (input: Input) => Promise<Output>) =>
    async (input: Input): Promise<Output> => {
      guard(input);
      return activity(input);
    };
  /** Like {@link guarded}, with heartbeats. */
  const guardedWithHeartbeat = <Input extends Origin, Output>(activity: (input: Input) => Promise<Output>) =>
    guarded((input: Input) => withHeartbeat(() => activity(input)));
  return {
    /** The first attempt: a local activity in the first workflow task. */
    firstAttempt: (input: AttemptInput) => guarded(attempt)(input).finally(() => reportEnd(dependencies)),
    /** The attempts after a transient failure: an ordinary activity that Temporal retries. */
    retry: guarded(attempt),
    /** Every attempt of a command that is declared long-running. */
    longRunningAttempt: guarded(attempt),
    /** The result of a command that completed before its workflow started: a local activity. */
    readRecord: guarded((_origin: Origin) => readRecord()),
    deadLetterCancelled: (origin?: Origin) => guardedWithHeartbeat(deadLetterCancelled)(origin ?? {}),
    replayDeadLetter: guardedWithHeartbeat((input: ReplayInput) => operator.replayDeadLetter(input)),
    discardDeadLetter: guardedWithHeartbeat((input: DiscardInput) => operator.discardDeadLetter(input)),
    // An activity name, which stored histories contain.
    lookAtCampaign: guardedWithHeartbeat((input: CampaignInput) => campaign.lookAtCampaign(input)),
    replayItems: guardedWithHeartbeat((input: CampaignInput) => campaign.replayItems(input)),
    changeCampaign: guardedWithHeartbeat((input: CampaignChangeInput) => campaign.changeCampaign(input)),
    tellOfDeadLetters: (alertId: unknown, origin?: Origin) =>
      guardedWithHeartbeat(() => tellOfDeadLetters(alertId))(origin ?? {}),
  };
}

function reportEnd({ attemptEnded }: AttemptActivityDependencies): void {
  attemptEnded?.(activityInfo().workflowExecution!.workflowId);
}

export type Activities = ReturnType<typeof createActivities>;
