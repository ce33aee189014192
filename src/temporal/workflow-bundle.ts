/**
 * The workflow code as a worker gives it to Temporal's sandbox: bundled at build time, because webpack takes a worker's
 * start about as long as everything else together, and a worker that has crashed is to be back soon.
 *
 * What was built is used only where it fits: made by the same versions of the SDK and from the same compiled files.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';
import { packageFile } from '../platform/package-files.ts';

export interface WorkflowBundle {
  code: string;
}

const FILE = fileURLToPath(new URL('../../workflows/bundle.txt', import.meta.url));
const WORKFLOWS = fileURLToPath(new URL('../../workflows/index.js', import.meta.url));
const CONVERTER = fileURLToPath(new URL('../../workflows/payload-converter.js', import.meta.url));
/** Of the compiled package: all that the workflows may import is in these two. */
const COMPILED = [new URL('../../workflows/', import.meta.url), new URL('../core/', import.meta.url)];
/** What of the SDK is in the bundle, or makes it. */
const SDK = ['workflow', 'common', 'worker'];
const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, log() {} };

let loaded: Promise<WorkflowBundle> | undefined;

/** The one that was built, or a new one where that does not fit. Once in a process. */
export function loadWorkflowBundle(): Promise<WorkflowBundle> {
  loaded ??= readWorkflowBundle().then((built) => built ?? bundleWorkflows());
  return loaded;
}

/** The one that was built. Null where there is none that is whole and fits. */
export async function readWorkflowBundle(file = FILE): Promise<WorkflowBundle | null> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const end = text.indexOf('\n');
  const code = text.slice(end + 1);
  return text.slice(0, Math.max(0, end)) === (await seal(code)) ? { code } : null;
}

/** For the build: makes sure that there is one that fits. */
export async function buildWorkflowBundle(): Promise<void> {
  if ((await readWorkflowBundle()) !== null) return;
  const { code } = await bundleWorkflows();
  const portable = withoutMachine(code);
  const unfinished = `${FILE}.${process.pid}`;
  await writeFile(unfinished, `${await seal(portable)}\n${portable}`);
  await rename(unfinished, FILE);
}

function bundleWorkflows(): Promise<WorkflowBundle> {
  // Webpack's progress is no news to whoever runs a worker. Preloaded: our modules hold no state of a workflow, and to
  // evaluate them anew for each one took a quarter of a worker's CPU.
  return bundleWorkflowCode({
    workflowsPath: WORKFLOWS,
    payloadConverterPath: CONVERTER,
    preloadModules: [WORKFLOWS],
    logger: SILENT,
  });
}

/** The first line of the file: of what the code was made, and that all of it is there. */
async function seal(code: string): Promise<string> {
  const hash = createHash('sha256');
  const require = createRequire(import.meta.url);
  for (const name of SDK) {
    const { version } = JSON.parse(
      readFileSync(require.resolve(`@temporalio/${name}/package.json`), 'utf8'),
    ) as { version: string };
    hash.update(`${name} ${version}\n`);
  }
  for (const folder of COMPILED) {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.js')).sort();
    for (const name of names) hash.update(`${name}\n`).update(await readFile(new URL(name, folder)));
  }
  return hash.update(code).digest('hex');
}

/**
 * Takes out of the source map where the package lay when it was built. The sources themselves go as well: they are a
 * third of the bundle, and stack traces need only names and lines.
 */
function withoutMachine(code: string): string {
  const root = fileURLToPath(packageFile(''));
  return code.replace(
    /(sourceMappingURL=data:application\/json;charset=utf-8;base64,)(\S+)/,
    (_all, prefix: string, encoded: string) => {
      const map = JSON.parse(Buffer.from(encoded, 'base64').toString()) as { sources: string[] };
      const portable = {
        ...map,
        sources: map.sources.map((source) => source.replace(root, '')),
        sourcesContent: undefined,
      };
      return prefix + Buffer.from(JSON.stringify(portable)).toString('base64');
    },
  );
}
