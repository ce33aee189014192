/**
 * The identity that a worker reports to Temporal. It names the inbox, so that other workers on the task queue can recognize
 * it.
 *
 * @module
 */
import { hostname } from 'node:os';

const MARK = / inbox:([0-9a-f]{8})$/;

/** The first characters of an inbox's id, enough to distinguish the inboxes on one task queue. */
export function shortId(inbox: string): string {
  return inbox.slice(0, 8);
}

/** The identity of this process as a worker of an inbox, such as `4711@host inbox:0d8c6f1e`. */
export function workerIdentity(inbox: string): string {
  return `${process.pid}@${hostname()} inbox:${shortId(inbox)}`;
}

/** The {@link shortId} of the inbox that a worker serves; null if its identity doesn't name one. */
export function inboxOfWorker(identity: string): string | null {
  return MARK.exec(identity)?.[1] ?? null;
}
