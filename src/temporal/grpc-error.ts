/**
 * Errors that Temporal's frontend answers with. They are recognized by their shape, as the client does it, because its module
 * takes half a second to load, which only commands that talk to Temporal should spend.
 *
 * @module
 */
import { errorChain } from '../platform/error-chain.ts';

/** The codes that this project reads. https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto */
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

/** An error as gRPC reports it. */
export interface GrpcError extends Error {
  code: number;
  details: string;
}

/** The gRPC error in an error or its causes, since the client wraps some; null for other errors. */
export function findGrpcError(error: unknown): GrpcError | null {
  return errorChain(error).find(isGrpcError) ?? null;
}

/** The code of the gRPC error in an error or its causes; null for other errors. */
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
