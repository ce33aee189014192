/**
 * What a fault is, and what it can get at.
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
  /** What a fault saw that must not be: a violation each, in the words of an invariant. */
  complain: (invariant: string, example: Record<string, unknown>) => void;
  /** Adds to a figure of the report. */
  count: (what: string, by: number) => void;
}

export interface Fault {
  weight: number;
  /** Resolves with false when there was nothing to hit. */
  run: (scene: Scene, random: Random) => Promise<boolean>;
}
