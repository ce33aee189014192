/**
 * Checks which file imports which. docs/architecture.md describes the order of the folders.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { bundle } from '../support/bundle.ts';
import { readSource, readSources } from '../support/sources.ts';
import type { Import, Source } from '../support/sources.ts';

/** Each folder, or file at the top of `src`, may import only from itself and from those above it. */
const ORDER = [
  ['src/core'],
  ['src/adapters'],
  ['src/platform'],
  ['src/telemetry'],
  ['src/store'],
  ['src/commands'],
  ['src/sending'],
  ['src/http'],
  ['src/temporal'],
  ['src/attempts'],
  ['src/dispatch'],
  ['src/outbox', 'src/alerts'],
  ['src/settings.ts'],
  ['src/retention'],
  ['src/operations'],
  ['src/health'],
  ['src/worker-options.ts'],
  ['activities'],
  ['src/worker.ts'],
  ['src/index.ts', 'src/operations.ts'],
  ['src/dev'],
  ['src/testing'],
  ['src/cli'],
];

/** Imports that the order does not cover: `from` may import `to`. */
const EXCEPTIONS = [
  { from: 'workflows', to: 'workflows', typeOnly: false },
  { from: 'workflows', to: 'src/core', typeOnly: false },
  { from: 'workflows', to: 'activities', typeOnly: true },
];

/** The packages that a folder may import at runtime. Folders that are not listed may import any package. */
const PACKAGES: Record<string, string[]> = {
  // Part of every workflow, in Temporal's sandbox: no Node modules, no pg, no zod.
  'src/core': ['@temporalio/common/lib/time.js'],
  // Users of one library do not have the others.
  'src/adapters': [],
  workflows: ['@temporalio/workflow', '@temporalio/common'],
};

const isIn = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`);
const isOurs = (target: string) => /^(src|activities|workflows|test|examples)\//.test(target);

/** The position in the order, or -1. */
const positionOf = (path: string) =>
  ORDER.findIndex((folders) => folders.some((folder) => isIn(path, folder)));
const folderOf = (path: string) => ORDER[positionOf(path)]?.find((folder) => isIn(path, folder));

function isAllowed({ target, typeOnly }: Import, { path }: Source): boolean {
  if (!isOurs(target)) {
    const folder = Object.keys(PACKAGES).find((name) => isIn(path, name));
    return typeOnly || folder === undefined || PACKAGES[folder]!.includes(target);
  }
  const exception = EXCEPTIONS.some(
    ({ from, to, typeOnly: only }) => isIn(path, from) && isIn(target, to) && (typeOnly || !only),
  );
  if (exception) return true;
  const [own, other] = [positionOf(path), positionOf(target)];
  return own >= 0 && other >= 0 && (other < own || folderOf(path) === folderOf(target));
}

/** `file imports target` for every forbidden import. */
const forbiddenImports = (files: readonly Source[]): string[] =>
  files.flatMap((file) =>
    file.imports
      .filter((each) => !isAllowed(each, file))
      .map(({ target }) => `${file.path} imports ${target}`),
  );

/** Finds files that import each other, directly or indirectly, as `a > b > a`. Type imports count, too. */
function findCycle(files: readonly Source[]): string | undefined {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const finished = new Set<string>();
  function search(path: string, trail: string[]): string | undefined {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path].join(' > ');
    if (finished.has(path)) return undefined;
    for (const { target } of byPath.get(path)?.imports ?? []) {
      const cycle = byPath.has(target) ? search(target, [...trail, path]) : undefined;
      if (cycle) return cycle;
    }
    finished.add(path);
    return undefined;
  }
  for (const { path } of files) {
    const cycle = search(path, []);
    if (cycle) return cycle;
  }
  return undefined;
}

describe('imports', () => {
  let shipped: Source[];
  before(async () => {
    shipped = await readSources(['src', 'activities', 'workflows']);
    assert.ok(shipped.length > 200, 'the sources were found');
  });

  it('follow the order of the folders, which includes every file', () => {
    const unplaced = shipped.filter(({ path }) => positionOf(path) < 0 && !isIn(path, 'workflows'));
    assert.deepEqual(
      unplaced.map(({ path }) => path),
      [],
    );
    assert.deepEqual(forbiddenImports(shipped), []);
  });

  it('of the command line go through operations, not to the store', () => {
    const cli = shipped.filter(({ path }) => isIn(path, 'src/cli'));
    assert.ok(cli.length > 30);
    const toStore = cli.flatMap(({ path, imports }) =>
      imports
        .filter(({ target }) => isIn(target, 'src/store'))
        .map(({ target }) => `${path} imports ${target}`),
    );
    // Migrating is a subject of its own, which the package exports, too.
    assert.deepEqual(
      toStore.filter((each) => !each.endsWith('src/store/migrate.ts')),
      [],
    );
  });

  it('of the SDK of OpenTelemetry are in the command line only', () => {
    const importers = shipped.filter(({ imports }) =>
      imports.some(({ target }) => target.startsWith('@opentelemetry/') && target !== '@opentelemetry/api'),
    );
    assert.deepEqual(
      importers.map(({ path }) => path),
      ['src/cli/telemetry/sdk.ts'],
    );
  });

  it('of examples name the package, as those of its users do', async () => {
    const examples = await readSources(['examples']);
    assert.ok(examples.length > 30);
    const toSource = examples.filter(({ imports }) => imports.some(({ target }) => isIn(target, 'src')));
    assert.deepEqual(
      toSource.map(({ path }) => path),
      ['examples/bank/demo.ts'],
    );
  });

  it('are not circular', () => {
    assert.equal(findCycle(shipped), undefined);
  });

  it('from activities and the CLI exist only where expected', async () => {
    const all = await readSources(['src', 'activities', 'workflows', 'examples', 'test']);
    const importersOf = (folder: string, except: string[]) =>
      all
        .filter(({ path }) => !except.some((each) => isIn(path, each)))
        .filter(({ imports }) => imports.some(({ target, typeOnly }) => !typeOnly && isIn(target, folder)))
        .map(({ path }) => path);
    assert.deepEqual(importersOf('activities', ['activities', 'test']), ['src/worker.ts']);
    assert.deepEqual(importersOf('src/cli', ['src/cli', 'test']), []);
  });
});

const read = (...lines: string[]) => readSource('src/deep/file.ts', lines.join('\n'));

describe('the import check', () => {
  it('sees every kind of import', () => {
    const { imports } = read(
      "import a, { b } from '../command.ts';",
      "import type { C } from './c.ts';",
      "import 'node:fs';",
      'import {',
      '  d,',
      "} from 'pg';",
      "export { e } from './e.ts';",
      "export * from './f.ts';",
      "export type { G } from '../../workflows/g.ts';",
      "const h = await import('./h.ts');",
      "// import i from 'zod';",
      "/* import j from 'zod'; */",
    );
    assert.deepEqual(imports, [
      { target: 'src/command.ts', typeOnly: false, isDynamic: false },
      { target: 'src/deep/c.ts', typeOnly: true, isDynamic: false },
      { target: 'node:fs', typeOnly: false, isDynamic: false },
      { target: 'pg', typeOnly: false, isDynamic: false },
      { target: 'src/deep/e.ts', typeOnly: false, isDynamic: false },
      { target: 'src/deep/f.ts', typeOnly: false, isDynamic: false },
      { target: 'workflows/g.ts', typeOnly: true, isDynamic: false },
      { target: 'src/deep/h.ts', typeOnly: false, isDynamic: true },
    ]);
  });

  for (const [file, line] of [
    ['src/core/a.ts', "import { b } from '../platform/b.ts';"],
    ['src/core/a.ts', "import type { B } from '../platform/b.ts';"],
    ['src/core/a.ts', "import 'node:fs';"],
    ['src/outbox/a.ts', "import { b } from '../alerts/b.ts';"],
    ['src/store/a.ts', "import { b } from '../worker.ts';"],
    ['src/worker.ts', "import { b } from './cli/b.ts';"],
    ['workflows/a.ts', "import { b } from '../activities/b.ts';"],
    ['workflows/a.ts', "import { b } from '../src/platform/b.ts';"],
    ['workflows/a.ts', "import { z } from 'zod';"],
    ['activities/a.ts', "import { b } from '../test/b.ts';"],
    ['src/new-folder/a.ts', "import { b } from '../core/b.ts';"],
  ] as const) {
    it(`refuses ${line} in ${file}`, () => {
      assert.equal(forbiddenImports([readSource(file, line)]).length, 1);
    });
  }

  it('finds a cycle of three files', () => {
    const files = [
      readSource('src/a.ts', "import './b.ts';"),
      readSource('src/b.ts', "import type { C } from './c.ts';"),
      readSource('src/c.ts', "export * from './a.ts';"),
    ];
    assert.equal(findCycle(files), 'src/a.ts > src/b.ts > src/c.ts > src/a.ts');
    assert.equal(findCycle(files.slice(1)), undefined);
  });
});

/** The packages and our own files in a bundle, found by the headings that the bundler writes. */
function contents(code: string): { packages: string[]; ours: string[] } {
  const modules = [...code.matchAll(/!\*\*\* (\S+)/g)].map(([, path]) => path!);
  const packages = modules.map((path) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
  const ours = modules.map((path) => /^\.\/dist\/(.+)\.js$/.exec(path)?.[1]);
  return { packages: [...unique(packages)], ours: [...unique(ours)] };
}

function unique(names: (string | undefined)[]): Set<string> {
  return new Set(names.filter((name) => name !== undefined).sort());
}

describe('the workflow bundle', () => {
  it('contains only workflows, src/core, Temporal and its dependencies; no pg, no zod, no Node modules', async () => {
    // The bundler itself refuses Node modules, and so does the sandbox.
    const { packages, ours } = contents((await bundle('workflows/index.js')).code);
    assert.deepEqual(packages, ['@temporalio/common', '@temporalio/workflow', 'long', 'ms', 'nexus-rpc']);
    assert.ok(
      ours.includes('workflows/handle-command') && ours.includes('src/core/protocol'),
      ours.join(', '),
    );
    assert.deepEqual(
      ours.filter((path) => !isIn(path, 'workflows') && !isIn(path, 'src/core')),
      [],
    );
  });

  it('shows zod if it is bundled, and cannot be built with Node modules', async () => {
    const { packages, ours } = contents((await bundle('test/support/zod-user.js')).code);
    assert.ok(packages.includes('zod'));
    assert.ok(ours.includes('test/support/zod-user'));
    await assert.rejects(bundle('src/attempts/failure-report.js'), /Webpack finished with errors/);
  });
});
