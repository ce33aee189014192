/**
 * Shows that something slow is alive.
 *
 * @module
 */
export type Log = (line: string) => void;

/** Says what is going on when it starts, every so often while it lasts, and how long it took. */
export async function withProgress<Result>(
  what: string,
  log: Log,
  work: () => Promise<Result>,
): Promise<Result> {
  const started = performance.now();
  const seconds = () => Math.round((performance.now() - started) / 1000);
  // A terminal's reader is waiting for it; a build log should not fill up.
  const timer = setInterval(() => log(`${what} … ${seconds()} s`), process.stderr.isTTY ? 5_000 : 15_000);
  log(`${what} …`);
  try {
    const result = await work();
    log(`${what}: done in ${seconds()} s`);
    return result;
  } finally {
    clearInterval(timer);
  }
}
