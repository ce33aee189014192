/**
 * How another terminal reaches the embedded servers, without their password on the screen, and finds the
 * `temporal` command.
 *
 * @module
 */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import type { Servers } from './servers.ts';

/** Writes `env` into the folder, readable by its owner alone; `. <path>` in a shell takes it over. Returns its path. */
export async function writeEnvironmentFile(folder: string, servers: Servers): Promise<string> {
  const path = join(folder, 'env');
  const lines = [
    `export DATABASE_URL='${servers.databaseUrl.replaceAll("'", '%27')}'`,
    `export TEMPORAL_ADDRESS='${servers.temporalAddress}'`,
  ];
  const binaries = servers.temporal && dirname(servers.temporal.binary);
  if (binaries && !process.env['PATH']?.split(delimiter).includes(binaries)) {
    lines.push(`export PATH="$PATH:${binaries}"`);
  }
  await mkdir(folder, { recursive: true });
  await writeFile(path, `${lines.join('\n')}\n`, { mode: 0o600 });
  // The mode of writeFile holds for a new file only.
  await chmod(path, 0o600);
  return path;
}
