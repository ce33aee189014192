/**
 * What the endpoints need of an inbox.
 *
 * @module
 */
import type { Inbox } from '../sending/inbox-types.ts';

/** What `createInbox` returns, with or without the option `commands`. */
export type EndpointInbox = Pick<Inbox, 'send' | 'sendMany' | 'execute' | 'status'>;
