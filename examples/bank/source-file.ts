/**
 * Finds files that are not code. The compiler does not copy them, so they are in examples/bank while this code runs in
 * dist/examples/bank.
 *
 * @module
 */
export function sourceFile(name: string): URL {
  return new URL(`../../../examples/bank/${name}`, import.meta.url);
}
