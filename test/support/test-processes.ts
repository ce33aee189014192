/**
 * Which test files share a process. Loading Temporal's packages takes longer than the tests of most files, so that one
 * process for several files saves minutes of a run.
 *
 * @module
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const FILES_PER_PROCESS = 6;
/** Tests in these folders kill processes and wait for what follows. They take the longest, so they start first. */
const ALONE = /[\\/](chaos|crash|replay)[\\/]/;

/** What Node's test runner is given. */
export interface TestProcesses {
  /** A test file, or a module that imports several. */
  modules: string[];
  /** Holds those modules; to be deleted when the tests are over. */
  folder: string;
}

/** Files of one process run one after the other, in this order. */
export function planTestProcesses(files: readonly string[]): TestProcesses {
  const folder = mkdtempSync(join(tmpdir(), 'temporal-inbox-tests-'));
  const alone = files.filter((file) => ALONE.test(file));
  const others = files.filter((file) => !ALONE.test(file));
  const modules = [...alone];
  for (let from = 0; from < others.length; from += FILES_PER_PROCESS) {
    const imports = others
      .slice(from, from + FILES_PER_PROCESS)
      .map((file) => `import ${JSON.stringify(pathToFileURL(file).href)};\n`);
    const module = join(folder, `files-${String(from + 1).padStart(3, '0')}.test.mjs`);
    writeFileSync(module, imports.join(''));
    modules.push(module);
  }
  return { modules, folder };
}
