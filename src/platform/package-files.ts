/**
 * Locates files of this package that are read at runtime.
 *
 * @module
 */
import { existsSync } from 'node:fs';

/** Compiled code is in dist/src/, the sources are in src/: the package's root is the folder that has package.json. */
const root = [new URL('../../', import.meta.url), new URL('../../../', import.meta.url)].find((folder) =>
  existsSync(new URL('package.json', folder)),
)!;

/** A file or folder, by its path relative to the package's root. Folders end in a slash. */
export function packageFile(path: string): URL {
  return new URL(path, root);
}
