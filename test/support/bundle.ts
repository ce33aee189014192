/**
 * Bundles workflow code the way a worker does.
 *
 * @module
 */
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, log() {} };

/** Bundles a compiled module. The path is relative to dist/. */
export async function bundle(path: string): Promise<{ code: string }> {
  const workflowsPath = fileURLToPath(new URL(`../../${path}`, import.meta.url));
  const payloadConverterPath = fileURLToPath(
    new URL('../../workflows/payload-converter.js', import.meta.url),
  );
  const interceptors = fileURLToPath(new URL('../../workflows/trace-context.js', import.meta.url));
  return bundleWorkflowCode({
    workflowsPath,
    workflowInterceptorModules: [interceptors],
    payloadConverterPath,
    preloadModules: [workflowsPath, interceptors],
    logger: SILENT,
  });
}
