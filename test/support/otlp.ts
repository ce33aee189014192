/**
 * A receiver for OTLP over HTTP. It decodes what exporters send with the code that protobufjs generated from OpenTelemetry's
 * definitions, in the package `otlp-definitions`.
 *
 * @module
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';

export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  kind: 'internal' | 'server' | 'client' | 'producer' | 'consumer' | 'unspecified';
  attributes: Record<string, unknown>;
  links: { traceId: string; spanId: string }[];
  status: { code: 'unset' | 'ok' | 'error'; message: string };
  startNanos: bigint;
  endNanos: bigint;
  /** `service.name` of the process that exported it. */
  service: string;
  resource: Record<string, unknown>;
  scope: { name: string; version: string; schemaUrl: string };
}

/** How a request is answered. hang: never. refuse: with 503. */
export type Behavior = 'accept' | 'refuse' | 'hang';

export interface OtlpReceiver {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  url: string;
  spans: ReceivedSpan[];
  /** The names of all metrics that were received. */
  metricNames: Set<string>;
  /** The number of requests. */
  requests(): number;
  behave(behavior: Behavior): void;
  close(): Promise<void>;
}

type Decoded = Record<string, unknown>;
interface MessageType {
  decode(bytes: Uint8Array): object;
  toObject(message: object, options: object): Decoded;
}

const require = createRequire(import.meta.url);
const { opentelemetry } = require('otlp-definitions/build/src/generated/root.js') as {
  opentelemetry: {
    proto: {
      collector: {
        trace: { v1: { ExportTraceServiceRequest: MessageType } };
        metrics: { v1: { ExportMetricsServiceRequest: MessageType } };
      };
    };
  };
};
const { trace, metrics } = opentelemetry.proto.collector;
const READABLE = { longs: String, bytes: String, arrays: true };

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] as const;
const STATUS_CODES = ['unset', 'ok', 'error'] as const;

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const metricNames = new Set<string>();
  let behavior: Behavior = 'accept';
  let requests = 0;

  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    requests += 1;
    if (behavior === 'hang') return;
    if (behavior === 'refuse') {
      response.writeHead(503).end();
      return;
    }
    const body = await buffer(request);
    const bytes = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
    if (request.url === '/v1/traces') spans.push(...decodeSpans(bytes));
    else if (request.url === '/v1/metrics')
      for (const name of decodeMetricNames(bytes)) metricNames.add(name);
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  }

  const server = createServer((request, response) => {
    receive(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    metricNames,
    requests: () => requests,
    behave: (next) => {
      behavior = next;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function decodeSpans(bytes: Uint8Array): ReceivedSpan[] {
  const request = decode(trace.v1.ExportTraceServiceRequest, bytes);
  return list(request['resourceSpans']).flatMap((resourceSpans) => {
    const resource = attributesOf((resourceSpans['resource'] as Decoded)['attributes']);
    return list(resourceSpans['scopeSpans']).flatMap((scopeSpans) => {
      const { name, version } = scopeSpans['scope'] as { name: string; version: string };
      const scope = { name, version, schemaUrl: String(scopeSpans['schemaUrl']) };
      return list(scopeSpans['spans']).map((span) => readSpan(span, resource, scope));
    });
  });
}

function readSpan(span: Decoded, resource: Decoded, scope: ReceivedSpan['scope']): ReceivedSpan {
  const status = (span['status'] ?? {}) as { code?: number; message?: string };
  return {
    traceId: hex(span['traceId']),
    spanId: hex(span['spanId']),
    parentSpanId: hex(span['parentSpanId']),
    name: String(span['name']),
    kind: KINDS[Number(span['kind'])]!,
    attributes: attributesOf(span['attributes']),
    links: list(span['links']).map((link) => ({
      traceId: hex(link['traceId']),
      spanId: hex(link['spanId']),
    })),
    status: { code: STATUS_CODES[status.code ?? 0]!, message: status.message ?? '' },
    startNanos: BigInt(String(span['startTimeUnixNano'])),
    endNanos: BigInt(String(span['endTimeUnixNano'])),
    service: String(resource['service.name']),
    resource,
    scope,
  };
}

function decodeMetricNames(bytes: Uint8Array): string[] {
  const request = decode(metrics.v1.ExportMetricsServiceRequest, bytes);
  return list(request['resourceMetrics'])
    .flatMap((each) => list(each['scopeMetrics']))
    .flatMap((each) => list(each['metrics']))
    .map(({ name }) => String(name));
}

function decode(type: MessageType, bytes: Uint8Array): Decoded {
  return type.toObject(type.decode(bytes), READABLE);
}

const list = (value: unknown) => (value ?? []) as Decoded[];
/** Bytes are decoded to base64. */
const hex = (value: unknown) => Buffer.from((value ?? '') as string, 'base64').toString('hex');

function attributesOf(value: unknown): Record<string, unknown> {
  return Object.fromEntries(list(value).map(({ key, value: any }) => [String(key), plain(any as Decoded)]));
}

function plain(value: Decoded): unknown {
  for (const kind of ['stringValue', 'boolValue', 'doubleValue']) if (isSet(value, kind)) return value[kind];
  if (isSet(value, 'intValue')) return Number(value['intValue']);
  const array = value['arrayValue'] as { values?: Decoded[] } | null | undefined;
  return array ? list(array.values).map((each) => plain(each)) : null;
}

const isSet = (value: Decoded, kind: string) => value[kind] !== undefined && value[kind] !== null;
