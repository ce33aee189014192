/**
 * Shows that a slow operation is still running.
 *
 * @module
 */
export type Log = (line: string) => void;

/** Logs the description at the start and at intervals while the work runs, and its duration when the work succeeds. */
export async function withProgress<Result>(
  what: string,
  log: Log,
  work: () => Promise<Result>,
): Promise<Result> {
  const started = performance.now();
  const seconds = () => Math.round((performance.now() - started) / 1000);
  // A person at a terminal is waiting; in a build log, frequent lines are noise.
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
