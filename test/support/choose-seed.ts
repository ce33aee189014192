/**
 * The seed of what tests choose at random: fixed in CI, so that a failure comes from a change, and new everywhere else.
 * TEST_SEED repeats one.
 *
 * @module
 */

const SEED_IN_CI = 20_251_125;

/** A whole number of 31 bits, which fast-check takes too. */
export function chooseSeed({ TEST_SEED, CI }: Record<string, string | undefined> = process.env): number {
  if (TEST_SEED !== undefined && TEST_SEED !== '') {
    const chosen = Number(TEST_SEED);
    if (!Number.isInteger(chosen)) throw new Error(`TEST_SEED is ${TEST_SEED}, which is not a whole number`);
    return chosen;
  }
  return CI === undefined || CI === '' || CI === 'false' ? Date.now() % 2 ** 31 : SEED_IN_CI;
}
