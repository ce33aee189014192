/**
 * Workflow code of a release that is broken: every workflow task fails.
 *
 * @module
 */
export function handleCommand(): Promise<void> {
  throw new Error('this release is broken');
}
