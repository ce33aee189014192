/**
 * Finds the files that are not code. The compiler leaves them where they are: this runs in dist/examples/bank, they
 * are in examples/bank.
 *
 * @module
 */
export function sourceFile(name: string): URL {
  return new URL(`../../../examples/bank/${name}`, import.meta.url);
}
