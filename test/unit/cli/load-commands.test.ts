import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadCommands } from '../../../src/cli/worker/load-commands.ts';
import { packageFile } from '../../../src/platform/package-files.ts';

describe('loadCommands', () => {
  let folder: string;
  let modules = 0;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'inbox-load-commands-'));
  });
  after(() => rm(folder, { recursive: true }));

  async function load(...lines: string[]) {
    const path = join(folder, `${(modules += 1)}.mjs`);
    const from = packageFile('dist/src/commands/define-command.js').href;
    const command = `import { defineCommand } from '${from}'; import { z } from '${import.meta.resolve('zod')}';
      const a = defineCommand({ type: 'A', schema: z.object({}), handle() {} });`;
    await writeFile(path, [command, ...lines].join('\n'));
    return loadCommands(path);
  }

  it('loads a module that only exports commands', async () => {
    const { commands, hooks } = await load('export { a };');
    assert.deepEqual([commands.length, hooks], [1, {}]);
  });

  it('loads an onDeadLetter hook next to named commands or a default array', async () => {
    for (const exported of ['export { a };', 'export default [a];']) {
      const { commands, hooks } = await load(exported, 'export async function onDeadLetter() {}');
      assert.equal(commands.length, 1);
      assert.equal(typeof hooks.onDeadLetter, 'function');
    }
  });

  it('refuses an onDeadLetter that is not a function', async () => {
    await assert.rejects(
      load('export { a };', 'export const onDeadLetter = {};'),
      /onDeadLetter.*not a function/,
    );
  });
});
