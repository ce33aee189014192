/**
 * Keeps the process alive when a handler leaves something behind that fails: a promise that nobody awaits, or a callback
 * that throws. Errors that are not a handler's are treated exactly as without the inbox.
 *
 * @module
 */
import { currentScope } from './attempt-scope.ts';

let watching = false;

/** Idempotent. From the first attempt on, for as long as the process lives: a promise may reject at any time. */
export function watchStrayErrors(): void {
  if (watching) return;
  watching = true;
  process.on('unhandledRejection', onUnhandledRejection);
  process.on('uncaughtException', onUncaughtException);
}

function onUnhandledRejection(reason: unknown): void {
  const scope = currentScope();
  if (scope) {
    scope.stray(reason, 'the handler left a promise behind that was rejected');
    return;
  }
  // Another listener handles it; or Node warns, ignores it or has thrown it already, as its flag says.
  if (process.listenerCount('unhandledRejection') > 1 || rejectionsMode() !== 'throw') return;
  // Without a listener Node throws it.
  throw reason instanceof Error
    ? reason
    : new Error(`a promise was rejected with ${typeof reason}, and nothing handled it`, { cause: reason });
}

function onUncaughtException(error: unknown): void {
  const scope = currentScope();
  if (scope) {
    scope.stray(error, 'a callback that the handler left behind threw');
    return;
  }
  if (process.listenerCount('uncaughtException') > 1) return;
  // Without a listener Node prints it and exits with code 1.
  process.off('uncaughtException', onUncaughtException);
  process.nextTick(() => {
    throw error;
  });
}

/** Of `--unhandled-rejections`. */
function rejectionsMode(): string {
  const flags = [...process.execArgv, ...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/)].join(' ');
  return /--unhandled-rejections[= ]([\w-]+)/.exec(flags)?.[1] ?? 'throw';
}
