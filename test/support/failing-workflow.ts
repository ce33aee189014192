/**
 * Workflow code of a broken release: every workflow task fails.
 *
 * @module
 */
export function handleCommand(): Promise<void> {
  throw new Error('this release is broken');
}
