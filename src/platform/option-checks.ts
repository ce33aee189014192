/**
 * Checks that the options of several functions need.
 *
 * @module
 */

/** Returns true for a whole number in this range. */
export function isWhole(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

/**
 * Returns a problem for each option that does not exist.
 *
 * @param where - the function that has the options, such as `createInbox`
 */
export function unknownOptions(given: object, known: readonly string[], where: string): string[] {
  return Object.keys(given)
    .filter((name) => !known.includes(name))
    .map((name) => `${name} is not an option of ${where}`);
}
