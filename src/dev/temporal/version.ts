/**
 * The Temporal CLI version that this package is tested with, and how to read the version of a binary.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** The release that is downloaded or built. The package is tested with this release. */
export const TEMPORAL_CLI_VERSION = '1.5.1';

/** Rejects when the file does not run or is a different program. */
export async function readTemporalVersion(path: string): Promise<string> {
  const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: 30_000 });
  const version = stdout.trim().split('\n')[0] ?? '';
  if (!/^temporal version /i.test(version))
    throw new Error(`${path} is not a Temporal CLI: --version printed ${JSON.stringify(version)}`);
  return version;
}
