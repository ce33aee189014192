/**
 * What the activities work with.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { AlertDeliveries } from '../src/alert.ts';
import type { CommandLog } from '../src/command.ts';
import type { Registry } from '../src/registry.ts';
import type { Asker } from '../src/requests.ts';
import type { UsableAttributes } from '../src/search-attributes.ts';
import type { AttemptSlots } from './attempt-slots.ts';

export interface ActivityDependencies {
  registry: Registry;
  /** Claims only, with `synchronous_commit = off`: a claim that a crash of Postgres forgets is simply made again. */
  claims: Pool;
  /** One connection for each attempt that runs. */
  attempts: Pool;
  /** Failures, dead letters and what operators do: durable, and never kept waiting by attempts. */
  records: Pool;
  /** How a campaign asks commands for their replay. */
  asker: Asker;
  maxPayloadBytes: number;
  /** Who this is, in `failures.worker`. */
  worker: string;
  buildId: string | null;
  /** The id of this inbox: commands of another one are left to its workers. */
  inbox: string;
  /** Which search attributes of the inbox the namespace has. */
  searchAttributes: UsableAttributes;
  /** Aborted when the grace time of a shutdown is over: Temporal tells ordinary activities of it, local ones never. */
  shutdown: AbortSignal;
  log: CommandLog;
}

/** Additional dependencies of attempts that run as Temporal activities. */
export interface AttemptDependencies extends ActivityDependencies {
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
