/**
 * Which test files share a process. Loading Temporal's packages takes longer than the tests of most files, so that one
 * process for several files saves minutes of a run.
 *
 * @module
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const FILES_PER_PROCESS = 6;
/** Tests in these folders kill processes and wait for what follows. */
const ALONE = /[\\/](chaos|crash|replay)[\\/]/;

/** What to give to Node's test runner. */
export interface TestProcesses {
  /** Modules that import the test files of one process each. */
  modules: string[];
  /** Holds the modules; to be deleted when the tests are over. */
  folder: string;
}

/** Files of one process run one after the other, in the order given. */
export function planTestProcesses(files: readonly string[]): TestProcesses {
  const folder = mkdtempSync(join(tmpdir(), 'temporal-inbox-tests-'));
  const alone = files.filter((file) => ALONE.test(file));
  const others = files.filter((file) => !ALONE.test(file));
  const count = Math.ceil(others.length / FILES_PER_PROCESS);
  // Files with neighbouring names are of one subject and take about as long as each other: each goes to another process.
  const groups = Array.from({ length: count }, (_, place) =>
    others.filter((_file, index) => index % count === place),
  );
  // One that runs alone, then a group, and so on: those that wait leave the cores to the others.
  const processes = [...alone.map((file) => [file]).entries(), ...groups.entries()].toSorted(
    ([one], [other]) => one - other,
  );
  const modules = processes.map(([, own], index) => {
    // The runner starts them in the order of their names.
    const place = String(index + 1).padStart(3, '0');
    const module = join(folder, `${place}-${basename(own[0]!, '.test.js')}.test.mjs`);
    writeFileSync(
      module,
      own.map((file) => `import ${JSON.stringify(pathToFileURL(file).href)};\n`).join(''),
    );
    return module;
  });
  return { modules, folder };
}
