/** What each entry point of the package loads. Senders must not pay for what only workers need. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { packageFile } from '../../../src/platform/package-files.ts';
import { readSources } from '../../support/sources.ts';
import type { Source } from '../../support/sources.ts';

const read = (path: string) => JSON.parse(readFileSync(packageFile(path), 'utf8')) as unknown;
const { exports, dependencies, peerDependenciesMeta } = read('package.json') as {
  exports: Record<string, { types: string; default: string } | string>;
  dependencies: Record<string, string>;
  peerDependenciesMeta: Record<string, { optional: boolean }>;
};
const { packages } = read('package-lock.json') as {
  packages: Record<string, { dev?: boolean; hasInstallScript?: boolean }>;
};

const entryPoints = Object.entries(exports).flatMap(([name, target]) =>
  typeof target === 'string' ? [] : [{ name, file: target.default }],
);
/** Does nothing without OpenTelemetry's SDK, which only the command line loads. */
const TRACING = '@opentelemetry/api';
const CLIENT = ['@temporalio/client', '@temporalio/common'];

/** The packages that importing an entry point loads, directly or indirectly. */
const LOADS: Record<string, readonly string[]> = {
  '.': ['pg', TRACING],
  './adapters': [],
  './http': ['pg', TRACING],
  './nats': [],
  './outbox': ['pg', '@temporalio/common', TRACING],
  './temporal': ['pg', ...CLIENT, TRACING],
  './testing': ['pg', 'zod', '@temporalio/common', '@temporalio/envconfig', TRACING],
  './operations': [
    'pg',
    'zod',
    ...CLIENT,
    '@temporalio/envconfig',
    '@temporalio/activity',
    'standardwebhooks',
    TRACING,
  ],
};
const NATIVE = '@temporalio/worker';

describe('the entry points', () => {
  let sources: Map<string, Source>;

  before(async () => {
    const all = await readSources(['src', 'activities', 'workflows']);
    sources = new Map(all.map((source) => [source.path, source]));
  });

  /** Follows the imports that exist at run time, except dynamic ones. */
  function loadedBy(file: string): Set<string> {
    const found = new Set<string>();
    const follow = (path: string) => {
      if (found.has(path)) return;
      found.add(path);
      for (const { target, typeOnly, isDynamic } of sources.get(path)?.imports ?? [])
        if (!typeOnly && !isDynamic) follow(target);
    };
    follow(file.replace('./dist/', '').replace(/\.js$/, '.ts'));
    return new Set([...found].filter((target) => !sources.has(target) && !target.startsWith('node:')));
  }

  for (const { name, file } of entryPoints) {
    const allowed = LOADS[name];
    it(`${name} exists${allowed ? `, and loads only: ${allowed.join(', ') || 'nothing'}` : ''}`, () => {
      const loaded = loadedBy(file);
      assert.ok(sources.has(file.replace('./dist/', '').replace(/\.js$/, '.ts')), file);
      if (!allowed) return;
      const names = [...loaded].map((target) => /^(?:@[^/]+\/)?[^/]+/.exec(target)![0]);
      assert.deepEqual(
        [...new Set(names)].filter((each) => !allowed.includes(each)),
        [],
      );
    });
  }

  for (const name of Object.keys(LOADS)) {
    it(`${name} does not load Temporal's native worker`, async () => {
      const specifier = `temporal-inbox${name.slice(1)}`;
      const script =
        `await import(${JSON.stringify(specifier)}); const { createRequire } = await import('node:module');` +
        `console.log(JSON.stringify(Object.keys(createRequire(import.meta.url).cache)))`;
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ['--input-type=module', '--eval', script],
        { cwd: packageFile('') },
      );
      const modules = JSON.parse(stdout) as string[];
      assert.deepEqual(
        modules.filter((path) => /@temporalio.(worker|core-bridge)/.test(path)),
        [],
      );
      // The check would notice it: the SDK's modules are listed.
      assert.equal(
        modules.some((path) => /@temporalio/.test(path)),
        LOADS[name]!.some((each) => /@temporalio/.test(each)),
      );
    });
  }
});

describe('installing the package', () => {
  it('does not install native code: the native worker is an optional peer dependency', () => {
    assert.equal(dependencies[NATIVE], undefined);
    assert.equal(peerDependenciesMeta[NATIVE]?.optional, true);
    const installed = Object.entries(packages).filter(([path, { dev }]) => path !== '' && !dev);
    assert.ok(installed.length > 20);
    assert.deepEqual(
      installed.filter(([path]) => /core-bridge|@swc|webpack|@temporalio.worker/.test(path)),
      [],
    );
  });
});
