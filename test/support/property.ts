/**
 * Property tests run with a fixed seed in CI, and with another one each time elsewhere. A failure is repeated with
 * `TEST_SEED=<the printed seed>`.
 *
 * @module
 */
import { randomInt } from 'node:crypto';
import * as fc from 'fast-check';

const CI_SEED = 20_261_125;

function chooseSeed(): number {
  const { TEST_SEED, CI } = process.env;
  if (TEST_SEED) return Number(TEST_SEED);
  return CI ? CI_SEED : randomInt(2 ** 31);
}

const seed = chooseSeed();
fc.configureGlobal({ seed });
console.log(`property tests: TEST_SEED=${seed}`);
