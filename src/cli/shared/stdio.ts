/**
 * Writes to stdout and stderr, and handles readers that leave and writes that fail.
 *
 * @module
 */
import { messageOf } from '../../platform/error-message.ts';

/** The reader of the pipe has exited, as in `inbox list | head -1`. This is not an error, and the command continues. */
let readerLeft = false;
/** Any other write error, such as a full disk: the output is incomplete. */
let failure: string | null = null;

/** Call once, before any output. Without a listener, a stream error would end the process with a stack trace. */
export function guardOutput(): void {
  process.stdout.on('error', onError);
  // There is no stream left to report it on.
  process.stderr.on('error', () => {});
}

export function writeOut(text: string): void {
  if (readerLeft || failure !== null) return;
  try {
    process.stdout.write(text);
  } catch (error) {
    // Writes to a file are synchronous in Node, so they throw.
    onError(error);
  }
}

export function writeError(text: string): void {
  try {
    process.stderr.write(text);
  } catch {
    // There is no stream left to report it on.
  }
}

/** Waits until all of stdout is written or has failed. Returns the reason of the failure, or null. */
export async function finishOutput(): Promise<string | null> {
  if (!readerLeft && failure === null) {
    await new Promise<void>((resolve) => {
      try {
        process.stdout.write('', () => resolve());
      } catch (error) {
        onError(error);
        resolve();
      }
    });
  }
  return failure;
}

function onError(error: unknown): void {
  if (['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED'].includes((error as NodeJS.ErrnoException).code ?? '')) {
    readerLeft = true;
  } else {
    failure ??= messageOf(error);
  }
}
