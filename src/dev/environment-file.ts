/**
 * How another terminal reaches the embedded servers, without their password on the screen, and finds the
 * `temporal` command.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join, resolve } from 'node:path';
import { quoteForShell } from '../core/shell.ts';
import { makeOwnFolder } from './process/folders.ts';
import type { Servers } from './servers.ts';

/**
 * Writes `env` into the folder, readable by its owner alone. {@link sourceCommand} takes it over.
 *
 * @returns its absolute path
 * @throws NotOursError when another user can change what is in the folder
 */
export async function writeEnvironmentFile(folder: string, servers: Servers): Promise<string> {
  const path = resolve(folder, 'env');
  const lines = [
    `export DATABASE_URL=${quoteForShell(servers.databaseUrl)}`,
    `export TEMPORAL_ADDRESS=${quoteForShell(servers.temporalAddress)}`,
  ];
  const binaries = servers.temporal && resolve(dirname(servers.temporal.binary));
  if (binaries && !process.env['PATH']?.split(delimiter).includes(binaries)) {
    lines.push(`export PATH="$PATH":${quoteForShell(binaries)}`);
  }
  await makeOwnFolder(folder);
  await replaceFile(path, `${lines.join('\n')}\n`);
  return path;
}

/** The line to type into a POSIX shell that takes over the settings in this file. */
export function sourceCommand(path: string): string {
  return `. ${quoteForShell(path)}`;
}

/** In one step: a reader sees the old file or the new one. A symbolic link is replaced, not followed. */
async function replaceFile(path: string, text: string): Promise<void> {
  const unfinished = join(dirname(path), `.env-${process.pid}-${randomBytes(6).toString('hex')}`);
  try {
    await writeFile(unfinished, text, { mode: 0o600, flag: 'wx' });
    await rename(unfinished, path);
  } finally {
    await rm(unfinished, { force: true });
  }
}
