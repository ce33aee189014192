/**
 * Everything that a test chooses at random, from one seed that each process prints. Ids that only have to be unique need none.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { chooseSeed } from './choose-seed.ts';

const seed = chooseSeed();
process.stdout.write(`random seed ${seed}; TEST_SEED=${seed} repeats it\n`);
fc.configureGlobal({ seed });

/** fast-check with this seed: tests import it from here. */
export { fc };

/** Bytes that don't compress, in base64; the same for the same seed and name. */
export function noise(name: string, bytes: number): string {
  return createHash('shake256', { outputLength: bytes }).update(`${seed} ${name}`).digest('base64');
}
