/**
 * The version of `inbox worker` for Temporal's worker versioning.
 *
 * @module
 */
import { ConfigurationError } from '../../core/errors.ts';
import { readVariables } from '../../platform/environment.ts';
import type { Environment } from '../../platform/environment.ts';
import type { WorkerDeployment } from '../../temporal/deployment.ts';

/**
 * Reads the version of a worker on the command line. The environment variables are those that Temporal's worker controller
 * for Kubernetes sets.
 *
 * @param flags - take precedence over the environment
 * @returns the version if there is a deployment name, and the build id if there is one
 * @throws ConfigurationError if there is a deployment name without a build id
 */
export function readDeployment(
  flags: { deployment?: string; buildId?: string },
  env: Environment = process.env,
): { deployment?: WorkerDeployment; buildId?: string } {
  const variables = readVariables(env, /^TEMPORAL_(DEPLOYMENT_NAME|WORKER_BUILD_ID)$/);
  const deploymentName = flags.deployment ?? variables['TEMPORAL_DEPLOYMENT_NAME'];
  const buildId = flags.buildId ?? variables['TEMPORAL_WORKER_BUILD_ID'];
  if (deploymentName === undefined) return buildId === undefined ? {} : { buildId };
  if (buildId === undefined) {
    throw new ConfigurationError(
      `the deployment ${JSON.stringify(deploymentName)} needs a build id, which names the release: add --build-id, or set ` +
        'TEMPORAL_WORKER_BUILD_ID',
    );
  }
  return { deployment: { deploymentName, buildId }, buildId };
}
