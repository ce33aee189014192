import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loadWorkflowBundle, readWorkflowBundle } from '../../../src/temporal/workflow-bundle.ts';
import { bundle } from '../../support/bundle.ts';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const BUILT = join(ROOT, 'dist', 'workflows', 'bundle.txt');
const SOURCE_MAP = /\n\/\/# sourceMappingURL=data:application\/json;charset=utf-8;base64,(\S+)/;

describe('the built workflow bundle', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'temporal-inbox-bundle-'));
  });
  after(() => rm(folder, { recursive: true }));

  async function altered(change: (text: string) => string): Promise<string> {
    const path = join(folder, 'bundle.txt');
    await writeFile(path, change(await readFile(BUILT, 'utf8')));
    return path;
  }

  it('is up to date, so that a worker does not create its own', async () => {
    const built = await readWorkflowBundle();
    assert.ok(built);
    assert.equal((await loadWorkflowBundle()).code, built.code);
  });

  it('contains the compiled code', async () => {
    const [built, fresh] = [await readWorkflowBundle(), await bundle('workflows/index.js')];
    assert.equal(built!.code.replace(SOURCE_MAP, ''), fresh.code.replace(SOURCE_MAP, ''));
  });

  it('contains no paths of the build machine, but names its source files', async () => {
    const { code } = (await readWorkflowBundle())!;
    const { sources } = JSON.parse(Buffer.from(SOURCE_MAP.exec(code)![1]!, 'base64').toString()) as {
      sources: string[];
    };
    assert.ok(sources.includes('workflows/handle-command.ts'), sources.join('\n'));
    assert.deepEqual(
      sources.filter((source) => source.startsWith('/')),
      [],
    );
    assert.ok(!code.includes(ROOT));
  });

  it('is not used if it is truncated, altered or missing', async () => {
    assert.notEqual(await readWorkflowBundle(await altered((text) => text)), null);
    assert.equal(await readWorkflowBundle(await altered((text) => text.slice(0, -1_000))), null);
    assert.equal(
      await readWorkflowBundle(await altered((text) => text.replace('completed', 'complated'))),
      null,
    );
    assert.equal(await readWorkflowBundle(await altered(() => '')), null);
    assert.equal(await readWorkflowBundle(join(folder, 'nothing')), null);
  });

  it('is not used after a compiled file has changed, and is then rebuilt', async () => {
    const copy = join(folder, 'copy');
    await copyPackage(copy);
    const isUpToDate = async () => {
      const script = `import { readWorkflowBundle } from './dist/src/temporal/workflow-bundle.js';
        process.stdout.write(String((await readWorkflowBundle()) !== null));`;
      const run = promisify(execFile);
      return (await run(process.execPath, ['--input-type=module', '-e', script], { cwd: copy })).stdout;
    };
    assert.equal(await isUpToDate(), 'true');
    const story = join(copy, 'dist', 'workflows', 'story.js');
    await writeFile(story, `${await readFile(story, 'utf8')}\n// changed\n`);
    assert.equal(await isUpToDate(), 'false');
    await promisify(execFile)(process.execPath, [join(copy, 'scripts', 'bundle-workflows.mjs')]);
    assert.equal(await isUpToDate(), 'true');
  });

  it('is part of the package', async () => {
    const { files } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { files: string[] };
    assert.ok(files.includes('dist/workflows'));
  });
});

async function copyPackage(to: string): Promise<void> {
  const run = promisify(execFile);
  await run('mkdir', ['-p', join(to, 'dist'), join(to, 'scripts')]);
  for (const part of ['src', 'workflows', 'activities']) {
    await run('cp', ['-r', join(ROOT, 'dist', part), join(to, 'dist')]);
  }
  await copyFile(join(ROOT, 'package.json'), join(to, 'package.json'));
  await copyFile(join(ROOT, 'scripts', 'bundle-workflows.mjs'), join(to, 'scripts', 'bundle-workflows.mjs'));
  await run('ln', ['-s', join(ROOT, 'node_modules'), join(to, 'node_modules')]);
}
