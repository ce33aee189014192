/** docs/exports.md lists everything that the package exports, and nothing else. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, it } from 'node:test';
import { packageFile } from '../../../src/platform/package-files.ts';

const read = (path: string) => readFileSync(packageFile(path), 'utf8');
const { exports } = JSON.parse(read('package.json')) as {
  exports: Record<string, string | { types: string }>;
};

/** The sections of the page, by the name of their entry point. */
const sections = new Map(
  read('docs/exports.md')
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf('\n')).trim(), section]),
);

/** The names that a compiled declaration file exports, including those of the files that it re-exports entirely. */
function exportedBy(file: string): string[] {
  const text = read(file).replaceAll(/\/\*[\s\S]*?\*\//g, '');
  const listed = [...text.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, names]) =>
    names!.split(',').map((name) =>
      name
        .trim()
        .replace(/^type /, '')
        .replace(/^.* as /, ''),
    ),
  );
  const declared = [
    ...text.matchAll(
      /^export (?:declare )?(?:abstract )?(?:async )?(?:const|function|class|interface|type) (\w+)/gm,
    ),
  ].map(([, name]) => name!);
  const others = [...text.matchAll(/^export \* from '([^']+)'/gm)].flatMap(([, target]) =>
    exportedBy(posix.join(posix.dirname(file), target!.replace(/\.(ts|js)$/, '.d.ts'))),
  );
  return [...new Set([...listed, ...declared, ...others])].filter((name) => name !== '').toSorted();
}

describe('docs/exports.md', () => {
  for (const [name, target] of Object.entries(exports)) {
    if (typeof target === 'string') continue;
    const title = `temporal-inbox${name.slice(1)}`;
    it(`lists the exports of ${title}`, () => {
      const section = sections.get(title);
      assert.ok(section, `a section ${title}`);
      // The first column of each table row; the second one explains.
      const rows = section.split('\n').filter((line) => line.startsWith('| '));
      const cells = rows.map((line) => line.split(' | ')[0]!).join(' ');
      const documented = [...cells.matchAll(/`(\w+)`/g)].map(([, each]) => each!).toSorted();
      assert.deepEqual(documented, [...new Set(documented)].toSorted(), 'each name stands in one row');
      assert.deepEqual(documented, exportedBy(target.types));
    });
  }
});
