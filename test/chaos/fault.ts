/**
 * What a fault of a chaos run is, and what it can use.
 *
 * @module
 */
import type { Journal } from './journal.ts';
import type { BackgroundFaults } from './lasting.ts';
import type { Load } from './load.ts';
import type { Random } from './random.ts';
import type { Surroundings } from './surroundings.ts';

export interface Scene extends Surroundings {
  load: Load;
  journal: Journal;
  background: BackgroundFaults;
  /** Reports a violation that the fault itself has found, under the name of an invariant. */
  reportViolation: (invariant: string, example: Record<string, unknown>) => void;
  /** Adds to a figure of the report. */
  count: (what: string, by: number) => void;
}

export interface Fault {
  weight: number;
  /** Resolves to false if the fault had no effect, for example because there was no worker to kill. */
  run: (scene: Scene, random: Random) => Promise<boolean>;
}
