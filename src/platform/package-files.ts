/**
 * Files of this package that are read at run time.
 *
 * @module
 */
import { existsSync } from 'node:fs';

/** Compiled code lies in dist/src/, the sources in src/: the package's root is where its package.json is. */
const root = [new URL('../../', import.meta.url), new URL('../../../', import.meta.url)].find((folder) =>
  existsSync(new URL('package.json', folder)),
)!;

/** A file or folder by its path from the package's root; folders end in a slash. */
export function packageFile(path: string): URL {
  return new URL(path, root);
}
