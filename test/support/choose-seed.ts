/**
 * The seed of everything that tests choose at random. It is fixed in CI, so that a new failure comes from a change, and
 * different in every other run. TEST_SEED repeats a run.
 *
 * @module
 */

const SEED_IN_CI = 20_251_125;

/** Returns a 31-bit integer, which fast-check accepts as a seed. */
export function chooseSeed({ TEST_SEED, CI }: Record<string, string | undefined> = process.env): number {
  if (TEST_SEED !== undefined && TEST_SEED !== '') {
    const chosen = Number(TEST_SEED);
    if (!Number.isInteger(chosen)) throw new Error(`TEST_SEED is ${TEST_SEED}, but must be an integer`);
    return chosen;
  }
  return CI === undefined || CI === '' || CI === 'false' ? Date.now() % 2 ** 31 : SEED_IN_CI;
}
