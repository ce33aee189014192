/**
 * The random choices of tests, from one seed that each process prints. Ids that only have to be unique don't use the seed.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { chooseSeed } from './choose-seed.ts';

const seed = chooseSeed();
process.stdout.write(`random seed ${seed}; set TEST_SEED=${seed} to repeat this run\n`);
fc.configureGlobal({ seed });

/** fast-check, configured with this seed. Tests import it from here. */
export { fc };

/** Bytes that don't compress, in base64. The same seed and name give the same bytes. */
export function noise(name: string, bytes: number): string {
  return createHash('shake256', { outputLength: bytes }).update(`${seed} ${name}`).digest('base64');
}
