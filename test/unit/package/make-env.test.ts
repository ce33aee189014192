import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../../../../', import.meta.url));

describe('deploy/make-env.sh', () => {
  let folder: string;
  const make = () => promisify(execFile)('sh', [join(folder, 'deploy', 'make-env.sh')]);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'make env '));
    await mkdir(join(folder, 'deploy'));
    for (const path of ['.env.example', join('deploy', 'make-env.sh')])
      await copyFile(join(root, path), join(folder, path));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('writes a random value for each password into a file that only its owner can read', async () => {
    await make();
    const text = await readFile(join(folder, '.env'), 'utf8');
    const passwords = [...text.matchAll(/^\w+_PASSWORD=(.*)$/gm)].map(([, password]) => password!);
    assert.equal(new Set(passwords).size, 3);
    for (const password of passwords) assert.match(password, /^[0-9a-f]{48}$/);
    assert.equal(
      text.replaceAll(/(_PASSWORD=).*/g, '$1'),
      await readFile(join(folder, '.env.example'), 'utf8'),
    );
    assert.equal((await stat(join(folder, '.env'))).mode & 0o777, 0o600);
    assert.deepEqual((await readdir(folder)).sort(), ['.env', '.env.example', 'deploy']);
  });

  it('does not change an existing file or symbolic link', async () => {
    const elsewhere = join(folder, 'elsewhere');
    await symlink(elsewhere, join(folder, '.env'));
    await assert.rejects(make(), /already exists and was not changed/);
    await assert.rejects(readFile(elsewhere), { code: 'ENOENT' });
    await writeFile(elsewhere, 'kept');
    await assert.rejects(make(), /already exists/);
    assert.equal(await readFile(elsewhere, 'utf8'), 'kept');
  });
});
