/**
 * The options of Temporal's SDK that a worker accepts: data converter and interceptors.
 *
 * @module
 */
import type { ClientOptions } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import type { WorkerInterceptors as SdkInterceptors, WorkerOptions } from '@temporalio/worker';
import { ConfigurationError } from '../core/errors.ts';
import { traceHeaderInterceptor } from './trace-header.ts';

/**
 * The part of Temporal's data converter that a worker can change. The converters themselves are part of the workflow bundle
 * that comes with this package.
 */
export type WorkerDataConverter = Pick<DataConverter, 'payloadCodecs'>;

/** The interceptors that a worker accepts. Interceptors of workflows would have to be part of the workflow bundle. */
export type WorkerInterceptors = Pick<SdkInterceptors, 'activity' | 'client'>;

export interface SdkOptions {
  dataConverter?: WorkerDataConverter;
  interceptors?: WorkerInterceptors;
}

const ALLOWED = { dataConverter: ['payloadCodecs'], interceptors: ['activity', 'client'] } as const;

/** @throws ConfigurationError for an option that the SDK would ignore, because the workflow bundle is built in advance */
export function checkSdkOptions(options: SdkOptions): void {
  const problems = (['dataConverter', 'interceptors'] as const).flatMap((option) =>
    problemsOf(option, options[option]),
  );
  if (problems.length > 0) throw new ConfigurationError(`createInboxWorker: ${problems.join('; ')}`);
}

function problemsOf(option: keyof typeof ALLOWED, value: unknown): string[] {
  if (value === undefined) return [];
  if (typeof value !== 'object' || value === null) return [`${option} must be an object`];
  const allowed: readonly string[] = ALLOWED[option];
  return Object.keys(value)
    .filter((name) => !allowed.includes(name))
    .map((name) => `${option}.${name} is not supported; supported: ${allowed.join(', ')}`);
}

/** The options of the client with which the worker starts and signals workflows. */
export function clientOptions({ dataConverter, interceptors }: SdkOptions): ClientOptions {
  return {
    ...(dataConverter && { dataConverter }),
    ...(interceptors?.client && { interceptors: interceptors.client }),
  };
}

/** The options of the Temporal worker. */
export function workerOptions({
  dataConverter,
  interceptors,
}: SdkOptions): Pick<WorkerOptions, 'dataConverter' | 'interceptors'> {
  const activity = [traceHeaderInterceptor, ...(interceptors?.activity ?? [])];
  return { ...(dataConverter && { dataConverter }), interceptors: { ...interceptors, activity } };
}
