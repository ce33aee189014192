/**
 * Writes a settings file that other terminals load to use the embedded servers and the `temporal` command. It contains the
 * password, so the password need not appear on the screen.
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
 * Writes the file `env` into the folder, readable only by its owner. {@link sourceCommand} returns a command to load it.
 *
 * @returns the absolute path of the file
 * @throws NotOursError when another user can change the content of the folder
 */
export async function writeEnvironmentFile(folder: string, servers: Servers): Promise<string> {
  const path = resolve(folder, 'env');
  const lines = [
    `export DATABASE_URL=${quoteForShell(servers.databaseUrl)}`,
    `export TEMPORAL_ADDRESS=${quoteForShell(servers.temporalAddress)}`,
  ];
  if (servers.uiUrl !== null) lines.push(`export INBOX_TEMPORAL_UI_URL=${quoteForShell(servers.uiUrl)}`);
  const binaries = servers.temporal && resolve(dirname(servers.temporal.binary));
  if (binaries && !process.env['PATH']?.split(delimiter).includes(binaries)) {
    lines.push(`export PATH="$PATH":${quoteForShell(binaries)}`);
  }
  await makeOwnFolder(folder);
  await replaceFile(path, `${lines.join('\n')}\n`);
  return path;
}

/** Returns the command that loads the settings of this file into a POSIX shell. */
export function sourceCommand(path: string): string {
  return `. ${quoteForShell(path)}`;
}

/** Replaces the file atomically: a reader sees the old file or the new one. A symbolic link is replaced, not followed. */
async function replaceFile(path: string, text: string): Promise<void> {
  const unfinished = join(dirname(path), `.env-${process.pid}-${randomBytes(6).toString('hex')}`);
  try {
    await writeFile(unfinished, text, { mode: 0o600, flag: 'wx' });
    await rename(unfinished, path);
  } finally {
    await rm(unfinished, { force: true });
  }
}
