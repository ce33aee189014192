/**
 * What the activities work with.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { AlertDeliveries } from '../src/core/alert.ts';
import type { CommandLog } from '../src/core/command-log.ts';
import type { AttemptDependencies } from '../src/attempts/dependencies.ts';
import type { Signaller } from '../src/temporal/signal-workflow.ts';
import type { UsableAttributes } from '../src/temporal/search-attributes.ts';
import type { AttemptSlots } from './attempt-slots.ts';

export interface ActivityDependencies extends AttemptDependencies {
  /** Claims only, with `synchronous_commit = off`: if Postgres crashes and forgets a claim, it is made again. */
  claims: Pool;
  /** How a campaign asks commands for their replay. */
  signaller: Signaller;
  /** This inbox's id. Commands of another inbox are left to its own workers. */
  inbox: string;
  /** Which of the inbox's search attributes the namespace has. */
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
  /** As in {@link ActivityDependencies}. */
  inbox: string;
  deliveries: AlertDeliveries;
  /** How long an alert is tried before it is given up. */
  giveUpMs: number;
  log: CommandLog;
}
