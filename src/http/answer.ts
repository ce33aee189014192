/**
 * Turns the outcome of a request into a response: JSON, and problem+json for errors. Errors that the client did not cause are
 * logged, without anything that the client sent.
 *
 * @module
 */
import { ConfigurationError } from '../core/errors.ts';
import type { CommandLog } from '../core/command-log.ts';
import type { JsonObject } from '../core/json.ts';
import { errorChain } from '../platform/error-chain.ts';
import { errorFields } from '../platform/postgres-errors.ts';
import type { HttpProblem, ProblemType } from './problem.ts';
import { documentedType, problemBody } from './problem.ts';
import { problemOf } from './problem-of-error.ts';

/** Answers a request, with the web-standard `Request` and `Response` that frameworks and runtimes use. It never rejects. */
export type HttpHandler = (request: Request) => Promise<Response>;

/** An endpoint's answer if nothing fails. */
export interface Answer {
  status: number;
  body: JsonObject;
  headers?: Record<string, string>;
}

interface Surroundings {
  log: CommandLog;
  problemType: ProblemType;
  /** The fields of log lines about this request. */
  facts: Record<string, unknown>;
}

/** Runs `work` and returns its answer, or the problem that it has thrown. */
export async function respond(
  request: Request,
  surroundings: Surroundings,
  work: () => Promise<Answer>,
): Promise<Response> {
  try {
    return toResponse(request, await work(), 'application/json');
  } catch (error) {
    try {
      return fail(request, surroundings, error);
    } catch (second) {
      // The option problemType has failed, or a hook has thrown a problem that cannot be made into a response.
      return fail(request, { ...surroundings, problemType: documentedType }, second);
    }
  }
}

function fail(request: Request, { log, problemType, facts }: Surroundings, error: unknown): Response {
  const problem = problemOf(error, request.method);
  logFailure(log, problem, error, facts);
  const { status, extras } = problem;
  const answer = { status, body: problemBody(problem, problemType), headers: extras.headers ?? {} };
  return toResponse(request, answer, 'application/problem+json');
}

function toResponse(request: Request, { status, body, headers }: Answer, contentType: string): Response {
  const text = JSON.stringify(body);
  const all = {
    'content-type': contentType,
    // A command's status changes, so intermediaries must not store it.
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  };
  if (request.method !== 'HEAD') return new Response(text, { status, headers: all });
  const length = String(Buffer.byteLength(text));
  return new Response(null, { status, headers: { ...all, 'content-length': length } });
}

/** Error messages may repeat what the client sent, so only the messages of our own configuration errors are logged. */
function logFailure(log: CommandLog, { status }: HttpProblem, error: unknown, facts: object): void {
  if (status < 500) return;
  const [, cause] = errorChain(error);
  const fields = {
    ...facts,
    ...errorFields(error),
    ...(error instanceof ConfigurationError && { problem: error.message }),
    ...(cause !== undefined && { cause: errorFields(cause).error }),
    at: placeOf(error),
  };
  if (status === 503) log.warn('answered 503, because something is unavailable or busy', fields);
  else log.error(`answered ${status}`, fields);
}

/** The line of code that threw the error. It is searched for after the message, because the message may look like one. */
function placeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { stack = '', message } = error;
  const start = stack.indexOf(message);
  return start === -1 ? undefined : /^\s+at .*$/m.exec(stack.slice(start + message.length))?.[0].trim();
}
