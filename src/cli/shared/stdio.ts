/**
 * Writing to stdout and stderr, whatever is at their other end.
 *
 * @module
 */
import { messageOf } from '../../platform/error-message.ts';

/** Nobody reads any more: `inbox list | head -1`. That is no failure, and what the command does goes on. */
let readerLeft = false;
/** Anything else, such as a full disk: the answer is incomplete. */
let failure: string | null = null;

/** Once, before anything is written: an unhandled error of a stream ends the process with a stack. */
export function guardOutput(): void {
  process.stdout.on('error', onError);
  // There is nowhere left to say so.
  process.stderr.on('error', () => {});
}

export function writeOut(text: string): void {
  if (readerLeft || failure !== null) return;
  try {
    process.stdout.write(text);
  } catch (error) {
    // To a file, Node writes and fails at once.
    onError(error);
  }
}

export function writeError(text: string): void {
  try {
    process.stderr.write(text);
  } catch {
    // There is nowhere left to say so.
  }
}

/** Resolves when all of stdout was written, or could not be. Then it is why not, or null. */
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
