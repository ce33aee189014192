/**
 * Passes the trace context of a workflow's start on to its activities, so that the trace of the client that started it
 * continues in the worker. The clients of Temporal's SDKs put it into this header if they have a tracing interceptor.
 *
 * @module
 */
import type { WorkflowInterceptors } from '@temporalio/workflow';
import { TRACE_HEADER } from '../src/core/protocol.ts';

/** Temporal calls this function for each workflow. */
export function interceptors(): WorkflowInterceptors {
  let started: Record<string, unknown> = {};
  const withContext = <Input extends { headers: object }>(input: Input): Input => ({
    ...input,
    headers: { ...started, ...input.headers },
  });
  return {
    inbound: [
      {
        execute(input, next) {
          const header = input.headers[TRACE_HEADER];
          if (header !== undefined) started = { [TRACE_HEADER]: header };
          return next(input);
        },
      },
    ],
    outbound: [
      {
        scheduleActivity: (input, next) => next(withContext(input)),
        scheduleLocalActivity: (input, next) => next(withContext(input)),
      },
    ],
  };
}
