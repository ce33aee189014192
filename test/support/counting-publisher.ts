/**
 * A publisher that accepts every event.
 *
 * @module
 */
export default async function publish(): Promise<void> {}
