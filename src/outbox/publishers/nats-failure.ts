/**
 * What an error of NATS means for the event: it is rejected, or the broker is away, or nobody can tell from it alone.
 *
 * @module
 */
import { PublishError } from '../../core/errors.ts';
import type { PublishedEvent } from '../../core/published-event.ts';
import type { Libraries } from './nats-connection.ts';

export interface NatsFailure {
  event: PublishedEvent;
  /** `unclear` means rejected where other events got through, and otherwise that the broker is away. */
  kind: 'rejected' | 'unclear' | 'away';
  /** May be logged: NATS does not repeat the payload in its errors. */
  problem: string;
}

export function explain(
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
    const problem = `NATS refuses it: ${invalid.message}; max_payload of the server must be above the size of events with their headers`;
    return { kind: 'rejected', problem };
  }
  const denied = find(errors.PermissionViolationError);
  if (denied) return { kind: 'rejected', problem: `NATS refuses it: ${denied.message}` };
  const api = find(JetStreamApiError);
  if (api) {
    // 400: this message is at fault, for example too large for the stream. Others are about the stream or the server.
    const kind = api.status === 400 ? 'rejected' : 'unclear';
    return { kind, problem: `JetStream refuses it: ${api.message}` };
  }
  if (find(errors.NoRespondersError)) {
    const problem = `no JetStream stream takes the subject ${subject}; \`nats stream add\` makes one`;
    return { kind: 'unclear', problem };
  }
  if (find(errors.TimeoutError))
    return { kind: 'unclear', problem: `not acknowledged within ${ackTimeoutMs} ms` };
  const lost = [
    errors.ClosedConnectionError,
    errors.ConnectionError,
    errors.DrainingConnectionError,
    errors.AuthorizationError,
    errors.UserAuthenticationExpiredError,
    errors.ProtocolError,
  ].some((type) => find(type));
  const name = thrown instanceof Error ? thrown.name : typeof thrown;
  if (lost) return { kind: 'away', problem: `the connection to NATS ended: ${name}` };
  // Not from NATS: for example what the user's function for the subject throws, whose message may repeat the payload.
  return { kind: 'rejected', problem: `it cannot be sent: ${name}` };
}

/** One error for the relay. */
export function summarize(
  published: readonly string[],
  failed: readonly NatsFailure[],
  closed: boolean,
): PublishError {
  const away = closed || failed.some(({ kind }) => kind === 'away');
  const isRejected = ({ kind }: NatsFailure) =>
    kind === 'rejected' || (kind === 'unclear' && published.length > 0 && !away);
  const rejected = failed.filter(isRejected).map(({ event, problem }) => ({ id: event.id, problem }));
  const worst = failed.find((failure) => !isRejected(failure)) ?? failed[0];
  const message = worst ? `event ${worst.event.id}: ${worst.problem}` : 'the connection to NATS ended';
  return new PublishError(message, { rejected, published, unavailable: away });
}

function causes(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let at = error; at instanceof Error && chain.length < 10; at = at.cause) chain.push(at);
  return chain;
}
