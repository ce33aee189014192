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
  ReplayInput,
} from '../src/outcome.ts';
import { createAlertDelivery } from './alert.ts';
import { createAttempt } from './attempt.ts';
import { createCampaignActivities } from './campaign.ts';
import { createCancel } from './cancelled.ts';
import type { ActivityDependencies, AlertDependencies } from './dependencies.ts';
import { withHeartbeat } from './heartbeat.ts';
import { createOperatorActivities } from './operator.ts';

export type { ActivityDependencies, AlertDependencies } from './dependencies.ts';

export function createActivities(dependencies: ActivityDependencies, alerts: AlertDependencies) {
  const attempt = createAttempt(dependencies);
  const deadLetterCancelled = createCancel(dependencies);
  const operator = createOperatorActivities(dependencies);
  const campaign = createCampaignActivities(dependencies);
  const tellOfDeadLetters = createAlertDelivery(alerts);
  return {
    /** The first attempt: a local activity in the first workflow task. */
    firstAttempt: (input: AttemptInput) => attempt(input).finally(() => tellEnd(dependencies)),
    /** All attempts after a transient failure: an ordinary activity that Temporal retries. */
    retry: attempt,
    /** Every attempt of a command that is declared long-running. */
    longRunningAttempt: attempt,
    deadLetterCancelled: () => withHeartbeat(deadLetterCancelled),
    replayDeadLetter: (input: ReplayInput) => withHeartbeat(() => operator.replayDeadLetter(input)),
    discardDeadLetter: (input: DiscardInput) => withHeartbeat(() => operator.discardDeadLetter(input)),
    lookAtCampaign: (input: CampaignInput) => withHeartbeat(() => campaign.lookAtCampaign(input)),
    replayItems: (input: CampaignInput) => withHeartbeat(() => campaign.replayItems(input)),
    changeCampaign: (input: CampaignChangeInput) => withHeartbeat(() => campaign.changeCampaign(input)),
    tellOfDeadLetters: (alertId: unknown) => withHeartbeat(() => tellOfDeadLetters(alertId)),
  };
}

function tellEnd({ attemptEnded }: ActivityDependencies): void {
  attemptEnded?.(activityInfo().workflowExecution!.workflowId);
}

export type Activities = ReturnType<typeof createActivities>;
