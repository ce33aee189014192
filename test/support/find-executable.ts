/**
 * Finds a program that a test needs and that comes from the distribution.
 *
 * @module
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Returns the path of a program, or null if it is not installed. `configured` is a path that takes precedence. */
export function findExecutable(name: string, configured: string | undefined): string | null {
  // Users other than root often have no sbin in their PATH.
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  const paths = configured ? [configured] : folders.map((folder) => join(folder, name));
  return paths.find((path) => isExecutable(path)) ?? null;
}

/** The reason to skip tests that need a program. False if it is installed, and in CI, where it must be installed. */
export function reasonToSkip(path: string | null, name: string, debianPackage: string): string | false {
  const reason = `${name} is not installed: apt-get install -y ${debianPackage}`;
  return path !== null || process.env['CI'] ? false : reason;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
