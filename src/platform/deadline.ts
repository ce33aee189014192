/**
 * Runs work with a time limit.
 *
 * @module
 */

/**
 * Resolves or rejects like `work`, but no later than after `ms`. Work that takes longer is abandoned: nothing waits for it,
 * and its rejection is ignored.
 *
 * @param work - gets a signal that is aborted at the time limit
 * @param onTimeout - called at the time limit: returns the value to resolve with, or throws the error to reject with
 */
export async function withTimeout<T, Late = never>(
  ms: number,
  work: (signal: AbortSignal) => Promise<T> | T,
  onTimeout: () => Late,
): Promise<T | Late> {
  const over = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<Late>((resolve, reject) => {
    timer = setTimeout(() => {
      over.abort();
      try {
        resolve(onTimeout());
      } catch (error) {
        reject(error);
      }
    }, ms);
  });
  const working = (async () => work(over.signal))();
  working.catch(() => {});
  try {
    return await Promise.race([working, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
