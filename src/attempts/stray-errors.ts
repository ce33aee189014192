/**
 * Keeps the process alive when something that a handler started fails unnoticed: a promise that nobody awaits is rejected,
 * or a callback throws. Errors from other code have the same effect as without the inbox.
 *
 * @module
 */
import { currentScope } from './attempt-scope.ts';

let watching = false;

/** Idempotent. Stays active from the first attempt until the process ends, because a promise may be rejected at any time. */
export function watchStrayErrors(): void {
  if (watching) return;
  watching = true;
  process.on('unhandledRejection', onUnhandledRejection);
  process.on('uncaughtException', onUncaughtException);
}

function onUnhandledRejection(reason: unknown): void {
  const scope = currentScope();
  if (scope) {
    scope.reportStray(reason, 'a promise that the handler did not await was rejected');
    return;
  }
  // Another listener handles the rejection, or Node's flag makes Node warn about it, ignore it or throw it itself.
  if (process.listenerCount('unhandledRejection') > 1 || rejectionsMode() !== 'throw') return;
  // Without any listener, Node would throw the reason.
  throw reason instanceof Error
    ? reason
    : new Error(`unhandled promise rejection with a value of type ${typeof reason}`, { cause: reason });
}

function onUncaughtException(error: unknown): void {
  const scope = currentScope();
  if (scope) {
    scope.reportStray(error, 'a callback that the handler started threw');
    return;
  }
  if (process.listenerCount('uncaughtException') > 1) return;
  // Without any listener, Node prints the error and exits with code 1.
  process.off('uncaughtException', onUncaughtException);
  process.nextTick(() => {
    throw error;
  });
}

/** The value of Node's `--unhandled-rejections` flag. */
function rejectionsMode(): string {
  const flags = [...process.execArgv, ...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/)].join(' ');
  return /--unhandled-rejections[= ]([\w-]+)/.exec(flags)?.[1] ?? 'throw';
}
