/**
 * The functions of an inbox that the endpoints need.
 *
 * @module
 */
import type { Inbox } from '../sending/inbox-types.ts';

/** What `createInbox` returns, with or without the option `commands`. */
export type EndpointInbox = Pick<Inbox, 'send' | 'sendMany' | 'execute' | 'status'>;
