/**
 * The activities of the inbox, by the names that the Web UI shows: each tells what happens, and its summary to what.
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
  /** Only for what belongs to this inbox. */
  const own =
    <Input extends Origin, Output>(activity: (input: Input) => Promise<Output>) =>
    async (input: Input): Promise<Output> => {
      guard(input);
      return activity(input);
    };
  /** Like {@link own}, with heartbeats. */
  const beating = <Input extends Origin, Output>(activity: (input: Input) => Promise<Output>) =>
    own((input: Input) => withHeartbeat(() => activity(input)));
  return {
    /** The first attempt: a local activity in the first workflow task. */
    firstAttempt: (input: AttemptInput) => own(attempt)(input).finally(() => tellEnd(dependencies)),
    /** All attempts after a transient failure: an ordinary activity that Temporal retries. */
    retry: own(attempt),
    /** Every attempt of a command that is declared long-running. */
    longRunningAttempt: own(attempt),
    /** The result of a command that completed before its workflow started: a local activity. */
    readRecord: own((_origin: Origin) => readRecord()),
    deadLetterCancelled: (origin?: Origin) => beating(deadLetterCancelled)(origin ?? {}),
    replayDeadLetter: beating((input: ReplayInput) => operator.replayDeadLetter(input)),
    discardDeadLetter: beating((input: DiscardInput) => operator.discardDeadLetter(input)),
    lookAtCampaign: beating((input: CampaignInput) => campaign.lookAtCampaign(input)),
    replayItems: beating((input: CampaignInput) => campaign.replayItems(input)),
    changeCampaign: beating((input: CampaignChangeInput) => campaign.changeCampaign(input)),
    tellOfDeadLetters: (alertId: unknown, origin?: Origin) =>
      beating(() => tellOfDeadLetters(alertId))(origin ?? {}),
  };
}

function tellEnd({ attemptEnded }: AttemptActivityDependencies): void {
  attemptEnded?.(activityInfo().workflowExecution!.workflowId);
}

export type Activities = ReturnType<typeof createActivities>;
