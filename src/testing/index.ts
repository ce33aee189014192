/**
 * The testing kit: runs a handler once in a transaction that is rolled back, or a whole inbox on real servers.
 *
 * @module temporal-inbox/testing
 */
export { AttemptFailedError, WaitTimeoutError } from '../core/errors.ts';
export { runCommand } from './run-command.ts';
export type {
  CommandRun,
  RunCommandContext,
  RunCommandOptions,
  RunInPool,
  RunInTransaction,
} from './run-command.ts';
export type { SentCommand } from './test-sends.ts';
export { createTestInbox } from './test-inbox.ts';
export type { TestInbox, TestInboxOptions } from './test-inbox.ts';
export type { WaitOptions } from './waits.ts';
// The types that the ones above consist of, if `temporal-inbox` itself does not export them.
export type { DeadLetterAlert, DeadLetterHook } from '../core/alert.ts';
export type { WebhookSettings } from '../alerts/webhook-settings.ts';
export type { InboxSettings } from '../settings.ts';
export type { DeadLetter } from '../store/dead-letters.ts';
