/** Where OpenTelemetry's environment variables send metrics and traces. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isExported, metricsProtocol, metricsUrl } from '../../../src/cli/telemetry/otel-environment.ts';

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };

describe('isExported', () => {
  for (const [what, env, traces, metrics] of [
    ['nothing', {}, false, false],
    ['an endpoint', ENDPOINT, true, true],
    ['an empty endpoint', { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }, false, false],
    ['an endpoint for traces', { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://t/v1/traces' }, true, false],
    ['no exporter for metrics', { ...ENDPOINT, OTEL_METRICS_EXPORTER: 'none' }, true, false],
    ['an exporter for traces alone', { OTEL_TRACES_EXPORTER: 'console' }, true, false],
    ['a disabled SDK', { ...ENDPOINT, OTEL_SDK_DISABLED: 'true' }, false, false],
  ] as const) {
    it(`with ${what}`, () => {
      assert.deepEqual([isExported('TRACES', env), isExported('METRICS', env)], [traces, metrics]);
    });
  }
});

describe('the target of metrics', () => {
  it('is below the common endpoint, unless the protocol is gRPC', () => {
    assert.equal(metricsUrl(ENDPOINT), 'http://collector:4318/v1/metrics');
    assert.equal(metricsUrl({ ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }), 'http://collector:4318');
    const own = { ...ENDPOINT, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://m/x' };
    assert.equal(metricsUrl(own), 'http://m/x');
    assert.equal(metricsUrl({}), null);
  });

  it('has a protocol', () => {
    assert.equal(metricsProtocol({}), 'http/protobuf');
    assert.equal(metricsProtocol({ OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }), 'http/json');
    assert.equal(
      metricsProtocol({ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: 'other' }),
      'http/protobuf',
    );
  });
});
