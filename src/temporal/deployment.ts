/**
 * Temporal's worker versioning: https://docs.temporal.io/worker-versioning.
 *
 * @module
 */
import type { WorkerOptions } from '@temporalio/worker';
import { ConfigurationError } from '../core/errors.ts';

/** The version of a worker, for Temporal's worker versioning. */
export interface WorkerDeployment {
  /** The name of the deployment that the worker belongs to, such as `payments`. All its releases have the same name. */
  deploymentName: string;
  /** The release, such as a version or a commit. */
  buildId: string;
}

const MAX_LENGTH = 255;

/** @throws ConfigurationError for a name or build id that Temporal would refuse */
export function checkDeployment(deployment: WorkerDeployment | undefined): void {
  if (deployment === undefined) return;
  const { deploymentName, buildId } = (deployment ?? {}) as Partial<WorkerDeployment>;
  const problems = [
    problemOf('deployment.deploymentName', deploymentName),
    problemOf('deployment.buildId', buildId),
  ].filter((problem) => problem !== null);
  if (typeof deploymentName === 'string' && /[.:]/.test(deploymentName))
    problems.push('deployment.deploymentName must not contain a dot or a colon');
  if (problems.length > 0) throw new ConfigurationError(`createInboxWorker: ${problems.join('; ')}`);
}

function problemOf(field: string, value: unknown): string | null {
  if (typeof value !== 'string' || value === '') return `${field} must be a non-empty string`;
  if (value.startsWith('__')) return `${field} must not begin with two underscores`;
  return value.length > MAX_LENGTH ? `${field} is longer than ${MAX_LENGTH} characters` : null;
}

/**
 * All workflows move to the current version with their next task: a dead letter that has waited for months must not depend
 * on a release that is long gone. The inbox's workflows stay compatible with the histories of earlier releases.
 */
export function deploymentOptions(
  version: WorkerDeployment | undefined,
): Pick<WorkerOptions, 'workerDeploymentOptions'> {
  if (version === undefined) return {};
  return {
    workerDeploymentOptions: {
      version,
      useWorkerVersioning: true,
      defaultVersioningBehavior: 'AUTO_UPGRADE',
    },
  };
}
