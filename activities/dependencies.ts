/**
 * The dependencies of the activities.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { AlertDeliveries } from '../src/core/alert.ts';
import type { CommandLog } from '../src/core/command-log.ts';
import type { AttemptDependencies } from '../src/attempts/dependencies.ts';
import type { Signaller } from '../src/temporal/signal-workflow.ts';
import type { UsableAttributes } from '../src/temporal/search-attributes.ts';
import type { WebUi } from '../src/temporal/web-ui.ts';
import type { AttemptSlots } from './attempt-slots.ts';

export interface ActivityDependencies extends AttemptDependencies {
  /**
   * For claims and the lookups that go with them, with `synchronous_commit = off`: if Postgres crashes and loses a claim,
   * the claim is repeated.
   */
  claims: Pool;
  /** Sends the replay signals of a campaign. */
  signaller: Signaller;
  /** This inbox's id. Commands of another inbox are left to that inbox's workers. */
  inbox: string;
  /** The search attributes that the namespace has. */
  searchAttributes: UsableAttributes;
}

/** Additional dependencies of the activity that runs attempts. */
export interface AttemptActivityDependencies extends ActivityDependencies {
  slots: AttemptSlots;
  /** Called when a first attempt begins. Returns whether the relay of this process took a slot for it. */
  attemptBegan?: (messageId: string) => boolean;
  /** Called when a first attempt has ended, whatever its outcome. */
  attemptEnded?: (messageId: string) => void;
}

export interface AlertDependencies {
  records: Pool;
  /** See {@link ActivityDependencies}. */
  inbox: string;
  deliveries: AlertDeliveries;
  /** How long delivery is retried before an alert is given up. */
  giveUpMs: number;
  /** For the links in alerts; null if its address is not known. */
  webUi: WebUi | null;
  log: CommandLog;
}
