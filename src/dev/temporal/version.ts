/**
 * The versions of the Temporal CLI that are installed, and how to read the version of a binary.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** The release that is downloaded. It contains Temporal's server 1.32. */
export const DOWNLOADED_CLI_VERSION = '1.9.1';

/**
 * The release that is built with Go where nothing can be downloaded: the newest one that `go install` can build from Go's
 * module proxies alone. It contains Temporal's server 1.29.
 */
export const BUILT_CLI_VERSION = '1.5.1';

/** Rejects when the file does not run or is a different program. */
export async function readTemporalVersion(path: string): Promise<string> {
  const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: 30_000 });
  const version = stdout.trim().split('\n')[0] ?? '';
  if (!/^temporal version /i.test(version))
    throw new Error(`${path} is not a Temporal CLI: --version printed ${JSON.stringify(version)}`);
  return version;
}
