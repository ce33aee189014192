/**
 * Tells a worker in this process that something was sent here: sooner than Postgres's NOTIFY, which others need.
 *
 * @module
 */

const listeners = new Set<() => void>();

/** Returns how to end it. */
export function onLocalSend(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** After the COMMIT. Whoever is woken looks into the table; it may find nothing. */
export function announceLocalSend(): void {
  for (const listener of listeners) listener();
}
