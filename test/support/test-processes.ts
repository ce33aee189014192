/**
 * Decides which test files share a process. Loading Temporal's packages takes longer than the tests of most files, so one
 * process for several files saves minutes per run.
 *
 * @module
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const FILES_PER_PROCESS = 6;
/**
 * Each file in these folders gets its own process: the tests kill processes and wait for the recovery, or register an
 * OpenTelemetry SDK, which is there for the whole process.
 */
const RUNS_ALONE = /[\\/](chaos|crash|replay|telemetry)[\\/]/;

/** The input for Node's test runner. */
export interface TestProcesses {
  /** One module for each process. It imports the test files of that process. */
  modules: string[];
  /** Contains the modules. Delete it when the tests are over. */
  folder: string;
}

/** The files of one process run one after another, in the given order. */
export function planTestProcesses(files: readonly string[]): TestProcesses {
  const folder = mkdtempSync(join(tmpdir(), 'temporal-inbox-tests-'));
  const alone = files.filter((file) => RUNS_ALONE.test(file));
  const others = files.filter((file) => !RUNS_ALONE.test(file));
  const count = Math.ceil(others.length / FILES_PER_PROCESS);
  // Files with similar names test the same subject and take about equally long, so they go to different processes.
  const groups = Array.from({ length: count }, (_, place) =>
    others.filter((_file, index) => index % count === place),
  );
  // Files that run alone alternate with groups: they mostly wait, and leave the cores to the groups.
  const processes = [...alone.map((file) => [file]).entries(), ...groups.entries()].toSorted(
    ([one], [other]) => one - other,
  );
  const modules = processes.map(([, own], index) => {
    // The runner starts the modules in the order of their names.
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
