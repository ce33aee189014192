/**
 * Delivers one alert to its receivers. All state is in Postgres: the receivers, which of them have the alert, and when to
 * give up. The alert loop restarts the workflow if it is lost.
 *
 * Must stay deterministic: the workflow stays open for days while a receiver is unavailable, so changing the order of its
 * steps needs `patched()`.
 *
 * @module
 */
import { alertActivities, origin } from './activity-options.ts';
import { withoutWrapper } from './failure.ts';

/** @throws ApplicationFailure of type AlertGivenUp, or InvalidAlert if the argument is not the id of an alert */
export async function deliverAlert(alertId: unknown): Promise<void> {
  try {
    await alertActivities().tellOfDeadLetters(alertId, origin());
  } catch (error) {
    throw withoutWrapper(error);
  }
}
