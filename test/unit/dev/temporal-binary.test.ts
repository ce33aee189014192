import assert from 'node:assert/strict';
import { access, chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { goInstall } from '../../../src/dev/process/go-install.ts';
import { findTemporalBinary, type TemporalProvider } from '../../../src/dev/temporal/binary.ts';
import { readTemporalVersion } from '../../../src/dev/temporal/version.ts';

/** Only root can give a file to another user. */
const asRoot = process.getuid?.() === 0;
const NOBODY = 65_534;

/** Creates a fake Temporal CLI that only prints its version. */
async function makeFake(
  path: string,
  output = 'temporal version 9.9.9 (fake)',
  exitCode = 0,
): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\necho '${output}'\nexit ${exitCode}\n`);
  await chmod(path, 0o755);
  return path;
}

const failingProvider: TemporalProvider = () => Promise.reject(new Error('no network here'));
const noProviders = [{ source: 'download' as const, version: '9.9.9', get: failingProvider }];

void describe('findTemporalBinary', () => {
  let root: string;
  let cacheDir: string;
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'dev-temporal-binary-'));
    cacheDir = join(root, 'cache');
  });
  after(() => rm(root, { recursive: true }));
  beforeEach(() => void (lines.length = 0));

  void it('prefers TEMPORAL_CLI_PATH to everything else', async () => {
    const chosen = await makeFake(join(root, 'chosen', 'my-temporal'));
    const onPath = await makeFake(join(root, 'bin', 'temporal'));
    const env = { TEMPORAL_CLI_PATH: chosen, PATH: dirname(onPath) };
    const binary = await findTemporalBinary({ env, cacheDir, log, providers: [] });
    assert.deepEqual(binary, {
      path: chosen,
      source: 'TEMPORAL_CLI_PATH',
      version: 'temporal version 9.9.9 (fake)',
    });
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /from TEMPORAL_CLI_PATH: .*my-temporal/);
  });

  void it('fails when TEMPORAL_CLI_PATH does not run, and does not search PATH', async () => {
    const onPath = await makeFake(join(root, 'bin', 'temporal'));
    const env = { TEMPORAL_CLI_PATH: join(root, 'missing'), PATH: dirname(onPath) };
    await assert.rejects(
      findTemporalBinary({ env, cacheDir, providers: [] }),
      /TEMPORAL_CLI_PATH is .*missing/,
    );
  });

  void it('uses the first working Temporal CLI on PATH and skips other programs with the same name', async () => {
    const other = await makeFake(join(root, 'other', 'temporal'), 'a calendar program');
    const broken = await makeFake(join(root, 'broken', 'temporal'), 'temporal version 1', 3);
    const good = await makeFake(join(root, 'bin', 'temporal'));
    const env = { PATH: [other, broken, good].map((path) => dirname(path)).join(delimiter) };
    const binary = await findTemporalBinary({ env, cacheDir, log, providers: [] });
    assert.deepEqual([binary.path, binary.source], [good, 'PATH']);
    assert.equal(lines.filter((line) => line.startsWith('skipped ')).length, 2);
  });

  void it('installs the CLI with the first provider that succeeds, and finds it in the cache the next time', async () => {
    const builtTargets: string[] = [];
    const providers = [
      { source: 'download' as const, version: '9.9.9', get: failingProvider },
      {
        source: 'build' as const,
        version: '1.2.3',
        get: async (target: string) => {
          builtTargets.push(target);
          await makeFake(target);
        },
      },
    ];
    const first = await findTemporalBinary({ env: {}, cacheDir, log, providers });
    const expected = join(cacheDir, 'temporal-cli-1.2.3', 'temporal');
    assert.deepEqual([first.path, first.source], [expected, 'build']);
    assert.ok(lines.some((line) => line.includes('no network here')));

    const second = await findTemporalBinary({ env: {}, cacheDir, providers });
    assert.deepEqual([second.path, second.source], [expected, 'cache']);
    assert.equal(builtTargets.length, 1);
  });

  void describe('runs no cached program that others can change:', () => {
    const unsafeCaches: Record<string, (binary: string) => Promise<void>> = {
      'a binary that anybody can write to': (binary) => chmod(binary, 0o777),
      'a binary that a group can write to': (binary) => chmod(binary, 0o775),
      'a folder that anybody can write to': (binary) => chmod(dirname(binary), 0o777),
      'a cache that anybody can write to': (binary) => chmod(dirname(dirname(binary)), 0o777),
      ...(asRoot && {
        'a binary of another user': (binary) => chown(binary, NOBODY, NOBODY),
        'a folder of another user': (binary) => chown(dirname(binary), NOBODY, NOBODY),
        'a cache of another user': (binary) => chown(dirname(dirname(binary)), NOBODY, NOBODY),
      }),
    };
    for (const [what, makeUnsafe] of Object.entries(unsafeCaches)) {
      void it(what, async () => {
        const unsafeCache = join(root, what);
        const ran = join(root, `${what} ran`);
        const binary = join(unsafeCache, `temporal-cli-${noProviders[0]!.version}`, 'temporal');
        await mkdir(dirname(binary), { recursive: true, mode: 0o755 });
        await writeFile(binary, `#!/bin/sh\ntouch '${ran}'\necho 'temporal version 9.9.9'\n`);
        await chmod(binary, 0o755);
        await makeUnsafe(binary);
        const refusal = { name: 'NotOursError' };
        await assert.rejects(
          findTemporalBinary({ env: {}, cacheDir: unsafeCache, providers: noProviders }),
          refusal,
        );
        const program = {
          name: 'a fake',
          package: 'example.com/fake',
          version: '0',
          check: readTemporalVersion,
        };
        await assert.rejects(
          goInstall(program, binary, log),
          /can write|replace|must belong to you|Go is not installed/,
        );
        await assert.rejects(access(ran), { code: 'ENOENT' });
      });
    }
  });

  void it('lists every remedy when no CLI can be found or installed', async () => {
    const empty = join(root, 'empty');
    await assert.rejects(
      findTemporalBinary({ env: {}, cacheDir: empty, providers: noProviders }),
      (error: Error) => {
        for (const text of ['on PATH', 'TEMPORAL_CLI_PATH', 'Go', 'TEMPORAL_ADDRESS', 'no network here']) {
          assert.ok(error.message.includes(text), `${text} is missing from: ${error.message}`);
        }
        return true;
      },
    );
  });
});
