/** The peer dependency ranges of the package must allow the versions with which the package is developed and tested. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import semver from 'semver';
import { packageFile } from '../../../src/platform/package-files.ts';

interface Manifest {
  version: string;
  peerDependencies?: Record<string, string>;
}

const read = (path: string) => JSON.parse(readFileSync(packageFile(path), 'utf8')) as Manifest;
const ranges = Object.entries(read('package.json').peerDependencies ?? {});

describe('peer dependencies', () => {
  it('exist', () => assert.ok(ranges.length >= 4));

  for (const [name, range] of ranges) {
    it(`${name}: the range allows the installed version`, () => {
      const { version } = read(`node_modules/${name}/package.json`);
      // Like npm: a prerelease satisfies a range only if the range names a prerelease of the same major.minor.patch.
      assert.ok(
        semver.satisfies(version, range, { includePrerelease: false }),
        `${name} ${version} is not in ${range}`,
      );
    });
  }
});
