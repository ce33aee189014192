import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readDeployment } from '../../../src/cli/worker/read-deployment.ts';

const version = (name: string, buildId: string) => ({
  deployment: { deploymentName: name, buildId },
  buildId,
});

describe('the version of a worker on the command line', () => {
  it('comes from the options, or from the variables that the worker controller sets', () => {
    const env = { TEMPORAL_DEPLOYMENT_NAME: 'ns/payments', TEMPORAL_WORKER_BUILD_ID: 'abc' };
    assert.deepEqual(readDeployment({}, env), version('ns/payments', 'abc'));
    assert.deepEqual(readDeployment({ deployment: 'pay', buildId: '7' }, env), version('pay', '7'));
    assert.deepEqual(readDeployment({ buildId: '7' }, {}), { buildId: '7' });
    assert.deepEqual(readDeployment({}, {}), {});
    assert.throws(() => readDeployment({ deployment: 'pay' }, {}), /"pay" needs a build id.*--build-id/);
  });
});
