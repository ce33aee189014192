/**
 * The workflow code that a worker loads into Temporal's sandbox. It is bundled at build time, because webpack takes about as
 * long as the rest of a worker's startup, and a worker that crashed should be back quickly.
 *
 * The built bundle is used only if it is up to date: built with the same SDK versions and from the same compiled files.
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
const INTERCEPTORS = fileURLToPath(new URL('../../workflows/trace-context.js', import.meta.url));
const CONVERTER = fileURLToPath(new URL('../../workflows/payload-converter.js', import.meta.url));
/** The folders of the compiled package that workflows may import from. */
const COMPILED = [new URL('../../workflows/', import.meta.url), new URL('../core/', import.meta.url)];
/** The SDK packages that are part of the bundle or create it. */
const SDK = ['workflow', 'common', 'worker'];
const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, log() {} };

let loaded: Promise<WorkflowBundle> | undefined;

/** Returns the built bundle, or creates a new one if it is not up to date. Runs once per process. */
export function loadWorkflowBundle(): Promise<WorkflowBundle> {
  loaded ??= readWorkflowBundle().then((built) => built ?? bundleWorkflows());
  return loaded;
}

/** Returns the built bundle; null if it is missing, damaged or out of date. */
export async function readWorkflowBundle(file = FILE): Promise<WorkflowBundle | null> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const end = text.indexOf('\n');
  const code = text.slice(end + 1);
  return text.slice(0, Math.max(0, end)) === (await checksum(code)) ? { code } : null;
}

/** Builds the bundle unless it is up to date. Called by the build. */
export async function buildWorkflowBundle(): Promise<void> {
  if ((await readWorkflowBundle()) !== null) return;
  const { code } = await bundleWorkflows();
  const portable = removeBuildPaths(code);
  const temporaryFile = `${FILE}.${process.pid}`;
  await writeFile(temporaryFile, `${await checksum(portable)}\n${portable}`);
  await rename(temporaryFile, FILE);
}

function bundleWorkflows(): Promise<WorkflowBundle> {
  // Operators don't need webpack's progress. Our modules are preloaded because they hold no workflow state, and evaluating
  // them for every workflow took a quarter of a worker's CPU.
  return bundleWorkflowCode({
    workflowsPath: WORKFLOWS,
    payloadConverterPath: CONVERTER,
    workflowInterceptorModules: [INTERCEPTORS],
    preloadModules: [WORKFLOWS, INTERCEPTORS],
    logger: SILENT,
  });
}

/** The first line of the file: a hash of the bundle and its inputs. It detects a stale or truncated bundle. */
async function checksum(code: string): Promise<string> {
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
 * Removes the build machine's paths from the source map. It also removes the sources' contents: they make up a third of the
 * bundle, and stack traces need only names and lines.
 */
function removeBuildPaths(code: string): string {
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
