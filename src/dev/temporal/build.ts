/**
 * Builds the Temporal CLI with Go when no binary is available.
 *
 * @module
 */
import { goInstall } from '../process/go-install.ts';
import type { Log } from '../process/progress.ts';
import { readTemporalVersion } from './version.ts';

export async function buildTemporal(version: string, target: string, log: Log): Promise<void> {
  const program = {
    name: 'the Temporal CLI',
    package: 'github.com/temporalio/cli/cmd/temporal',
    version,
    check: readTemporalVersion,
  };
  await goInstall(program, target, log);
}
