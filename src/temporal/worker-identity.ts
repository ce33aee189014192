/**
 * How a worker of an inbox calls itself in Temporal, so that others on its task queue can tell what it is.
 *
 * @module
 */
import { hostname } from 'node:os';

const MARK = / inbox:([0-9a-f]{8})$/;

/** The first characters of an inbox's id, enough to tell the inboxes of one task queue apart. */
export function shortId(inbox: string): string {
  return inbox.slice(0, 8);
}

/** The identity of this process as a worker of an inbox, such as `4711@host inbox:0d8c6f1e`. */
export function workerIdentity(inbox: string): string {
  return `${process.pid}@${hostname()} inbox:${shortId(inbox)}`;
}

/** The {@link shortId} of the inbox that a worker serves; null when its identity names none. */
export function inboxOfWorker(identity: string): string | null {
  return MARK.exec(identity)?.[1] ?? null;
}
