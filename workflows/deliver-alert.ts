/**
 * Brings one alert to its receivers. All it knows is in Postgres: whom to tell, who has been told, and when to give up. A
 * lost one is started again by the alert loop.
 *
 * Deterministic, and open for days when a receiver is away: every change of the order of its steps needs `patched()`.
 *
 * @module
 */
import { alertActivities, origin } from './activity-options.ts';

/** @throws ApplicationFailure of type AlertGivenUp, or InvalidAlert for what is no id of an alert */
export async function deliverAlert(alertId: unknown): Promise<void> {
  await alertActivities().tellOfDeadLetters(alertId, origin());
}
