/**
 * Errors returned by Temporal's frontend. They are recognized by their shape, as the Temporal client does: loading the
 * client's module takes half a second, and CLI commands that don't talk to Temporal should not pay for it.
 *
 * @module
 */
import { errorChain } from '../platform/error-chain.ts';

/** The codes that this project uses. https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto */
export const GRPC = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** An error reported by gRPC. */
export interface GrpcError extends Error {
  code: number;
  details: string;
}

/** Finds the gRPC error in an error or its causes, because the client wraps some of them; null for other errors. */
export function findGrpcError(error: unknown): GrpcError | null {
  return errorChain(error).find(isGrpcError) ?? null;
}

/** The code of the error that {@link findGrpcError} finds; null for other errors. */
export function grpcCodeOf(error: unknown): number | null {
  return findGrpcError(error)?.code ?? null;
}

function isGrpcError(error: object): error is GrpcError {
  const { code, details, metadata } = error as Partial<GrpcError> & { metadata?: unknown };
  return (
    typeof code === 'number' &&
    typeof details === 'string' &&
    typeof metadata === 'object' &&
    metadata !== null
  );
}
