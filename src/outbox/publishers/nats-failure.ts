/**
 * Classifies errors from NATS: the event is rejected, the broker is unavailable, or the error alone doesn't determine which.
 *
 * @module
 */
import { PublishError } from '../../core/errors.ts';
import type { PublishedEvent } from '../../core/published-event.ts';
import type { Libraries } from './nats-connection.ts';

export interface NatsFailure {
  event: PublishedEvent;
  /** `unclear` counts as rejected if other events of the batch got through, and as an unavailable broker otherwise. */
  kind: 'rejected' | 'unclear' | 'unavailable';
  /** Safe to log: NATS errors don't repeat the payload. */
  problem: string;
}

export function classifyError(
  { errors, JetStreamApiError }: Libraries,
  thrown: unknown,
  subject: string,
  ackTimeoutMs: number,
): Pick<NatsFailure, 'kind' | 'problem'> {
  const chain = causes(thrown);
  const find = <T extends Error>(type: abstract new (...args: never[]) => T) =>
    chain.find((error): error is T => error instanceof type);
  const invalid = find(errors.InvalidArgumentError);
  if (invalid) {
    const problem = `NATS rejected it: ${invalid.message}; the server's max_payload must be larger than the event with its headers`;
    return { kind: 'rejected', problem };
  }
  const denied = find(errors.PermissionViolationError);
  if (denied) return { kind: 'rejected', problem: `NATS rejected it: ${denied.message}` };
  const api = find(JetStreamApiError);
  if (api) {
    // 400 is about this message, for example too large for the stream. Other codes are about the stream or the server.
    const kind = api.status === 400 ? 'rejected' : 'unclear';
    return { kind, problem: `JetStream rejected it: ${api.message}` };
  }
  if (find(errors.NoRespondersError)) {
    const problem = `no JetStream stream accepts the subject ${subject}; create one with \`nats stream add\``;
    return { kind: 'unclear', problem };
  }
  if (find(errors.TimeoutError))
    return { kind: 'unclear', problem: `NATS did not acknowledge it within ${ackTimeoutMs} ms` };
  const lost = [
    errors.ClosedConnectionError,
    errors.ConnectionError,
    errors.DrainingConnectionError,
    errors.AuthorizationError,
    errors.UserAuthenticationExpiredError,
    errors.ProtocolError,
  ].some((type) => find(type));
  const name = thrown instanceof Error ? thrown.name : typeof thrown;
  if (lost) return { kind: 'unavailable', problem: `the connection to NATS was lost: ${name}` };
  // Not a NATS error. For example, the user's `subject` function threw; its message may repeat the payload, so log the name
  // only.
  return { kind: 'rejected', problem: `it could not be sent: ${name}` };
}

/** Combines the failures of a batch into one error for the relay. */
export function toPublishError(
  published: readonly string[],
  failed: readonly NatsFailure[],
  closed: boolean,
): PublishError {
  const unavailable = closed || failed.some(({ kind }) => kind === 'unavailable');
  const isRejected = ({ kind }: NatsFailure) =>
    kind === 'rejected' || (kind === 'unclear' && published.length > 0 && !unavailable);
  const rejected = failed.filter(isRejected).map(({ event, problem }) => ({ id: event.id, problem }));
  const worst = failed.find((failure) => !isRejected(failure)) ?? failed[0];
  const message = worst ? `event ${worst.event.id}: ${worst.problem}` : 'the connection to NATS was lost';
  return new PublishError(message, { rejected, published, unavailable });
}

function causes(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let at = error; at instanceof Error && chain.length < 10; at = at.cause) chain.push(at);
  return chain;
}
