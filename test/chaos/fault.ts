/**
 * The faults of a chaos run and what they can use.
 *
 * @module
 */
import type { Journal } from './journal.ts';
import type { Lasting } from './lasting.ts';
import type { Load } from './load.ts';
import type { Random } from './random.ts';
import type { Surroundings } from './surroundings.ts';

export interface Scene extends Surroundings {
  load: Load;
  journal: Journal;
  lasting: Lasting;
  /** Reports a violation that the fault itself saw, under the name of an invariant. */
  complain: (invariant: string, example: Record<string, unknown>) => void;
  /** Adds to a figure of the report. */
  count: (what: string, by: number) => void;
}

export interface Fault {
  weight: number;
  /** Resolves with false when there was nothing to hit. */
  run: (scene: Scene, random: Random) => Promise<boolean>;
}
