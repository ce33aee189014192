/**
 * Which Temporal CLI this is tried with, and which one a file is.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** The release that is downloaded or built: the one everything here was tried with. */
export const TEMPORAL_CLI_VERSION = '1.5.1';

/** Rejects when the file does not run or is something else. */
export async function readTemporalVersion(path: string): Promise<string> {
  const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: 30_000 });
  const version = stdout.trim().split('\n')[0] ?? '';
  if (!/^temporal version /i.test(version))
    throw new Error(`${path} --version says ${JSON.stringify(version)}`);
  return version;
}
