/**
 * Runs the TypeScript compiler on files that `tsc` does not compile with the package.
 *
 * @module
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageFile } from '../../src/platform/package-files.ts';

const own = (path: string) => fileURLToPath(packageFile(path));

/**
 * @param files - absolute paths
 * @param paths - where the compiler finds modules, as in a `tsconfig.json`
 * @returns the compiler's errors; empty if there are none
 */
export async function typecheck(files: readonly string[], paths: Record<string, string[]>): Promise<string> {
  const project = await mkdtemp(join(tmpdir(), 'typecheck-'));
  const config = {
    extends: own('tsconfig.json'),
    compilerOptions: {
      noEmit: true,
      incremental: false,
      rootDir: '/',
      typeRoots: [own('node_modules/@types')],
      paths,
    },
    include: [],
    files,
  };
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify(config));
  try {
    return await new Promise((resolve) => {
      const args = [own('node_modules/typescript/bin/tsc'), '-p', project];
      execFile(process.execPath, args, (error, stdout, stderr) =>
        resolve(error === null ? '' : stdout || stderr || error.message),
      );
    });
  } finally {
    await rm(project, { recursive: true });
  }
}
