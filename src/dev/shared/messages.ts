/**
 * What the process that hosts shared servers and the processes that use them send each other: lines of JSON.
 *
 * @module
 */

/** The embedded servers. Null for a server that the environment names, which the host does not start. */
export interface SharedServers {
  /** A database that contains the inbox's schema and nothing else. New databases are copied from it. */
  databaseUrl: string | null;
  temporalAddress: string | null;
}

/** From the host. `ready` or `failed` is the last message. */
export type HostMessage =
  | { kind: 'progress'; line: string }
  | { kind: 'ready'; servers: SharedServers }
  | { kind: 'failed'; message: string };

/** From a process that closes its lease in an orderly way. A lease that ends without it belonged to a process that died. */
export const GOODBYE = 'bye\n';

export function encode(message: HostMessage): string {
  return `${JSON.stringify(message)}\n`;
}
