/**
 * Turns errors into messages that name the failed server, the setting involved, and what to check.
 *
 * @module
 */
import { Client, DatabaseError } from 'pg';
import { messageOf } from '../../platform/error-message.ts';
import { InboxError } from '../../core/errors.ts';
import { findGrpcError, GRPC } from '../../temporal/grpc-error.ts';
import type { GrpcError } from '../../temporal/grpc-error.ts';

type Environment = Record<string, string | undefined>;

/** Returns the message to print on stderr. It never contains a password. */
export function describeError(error: unknown, env: Environment = process.env): string {
  if (error instanceof InboxError) return error.message;
  const grpc = findGrpcError(error);
  if (grpc) return describeTemporal(grpc, env);
  if (error instanceof DatabaseError) return describeDatabaseError(error, serverOf(env), env);
  const connection = describeConnection(error, serverOf(env));
  if (connection !== null) return connection;
  if (env['INBOX_LOG_LEVEL'] === 'debug' && error instanceof Error) return error.stack ?? error.message;
  return `${messageOf(error)} (INBOX_LOG_LEVEL=debug shows more)`;
}

interface Server {
  /** `db.example.com:5432`, or the folder of a Unix socket. */
  at: string;
  database: string;
  user: string;
}

/** The server that pg derives from DATABASE_URL and the PG… variables, without the password. */
function serverOf(env: Environment): Server {
  try {
    const { host, port, database, user } = new Client({ connectionString: env['DATABASE_URL'] });
    const at = host.includes(':') && !host.startsWith('/') ? `[${host}]:${port}` : `${host}:${port}`;
    return { at, database: database ?? '', user: user ?? '' };
  } catch {
    return { at: 'the host in DATABASE_URL', database: '', user: '' };
  }
}

/** Why the connection failed, by Node's error code. */
const CONNECTION: Record<string, string> = {
  ECONNREFUSED:
    'nothing is listening there: check that Postgres is running, and the host and port in DATABASE_URL',
  ENOTFOUND: 'host not found: check the host in DATABASE_URL, and DNS',
  EAI_AGAIN: 'DNS does not answer: check the host in DATABASE_URL, and the network',
  ENOENT: 'socket not found: check that Postgres is running, and the host in DATABASE_URL',
  EACCES: 'this user is not allowed to connect there: check the host and port in DATABASE_URL',
  ETIMEDOUT: 'no answer: check the host and port in DATABASE_URL, and the firewall',
  EHOSTUNREACH: 'no route to that host: check the host in DATABASE_URL, and the network',
  ENETUNREACH: 'no route to that network: check the host in DATABASE_URL, and the network',
  ECONNRESET:
    'the server closed the connection: check its log, and that Postgres listens on the port in DATABASE_URL',
  EPIPE:
    'the server closed the connection: check its log, and that Postgres listens on the port in DATABASE_URL',
};

const TLS_CODES = /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|EPROTO$)/;

function describeConnection(error: unknown, { at, user, database }: Server): string | null {
  const message = messageOf(error);
  const code = codeOf(error);
  const start = `Postgres cannot be reached at ${at}`;
  const isNetwork = code !== null && code in CONNECTION;
  // Files also fail with ENOENT and EACCES.
  if (isNetwork && (syscallOf(error) !== null || !['ENOENT', 'EACCES'].includes(code))) {
    return `${start} (${message}): ${CONNECTION[code]}`;
  }
  if (/does not support SSL/.test(message)) {
    return `${start} with TLS (${message}): turn on TLS in that server, or remove sslmode from DATABASE_URL`;
  }
  if (code !== null && TLS_CODES.test(code)) {
    return `${start} with TLS (${code}: ${message}): check sslmode and sslrootcert in DATABASE_URL, and which host the certificate is for`;
  }
  if (/^SASL|client password must be a string/.test(message)) {
    return `Postgres at ${at} requires a password for user "${user}" (${message}): set it in DATABASE_URL, or in PGPASSWORD`;
  }
  if (/timeout expired|timeout exceeded when trying to connect|connection timeout/i.test(message)) {
    return `${start} (${message}): ${CONNECTION['ETIMEDOUT']}`;
  }
  if (/Connection terminated|Client was closed|Connection ended/i.test(message)) {
    return (
      `the connection to Postgres at ${at}, database "${database}", was lost (${message}): check the server's log, and that ` +
      'Postgres listens on the port in DATABASE_URL. The last change may or may not have been made; it is safe to run the ' +
      'same command again'
    );
  }
  return null;
}

/** Describes an error that Postgres returned, by SQLSTATE. https://www.postgresql.org/docs/current/errcodes-appendix.html */
function describeDatabaseError(
  error: DatabaseError,
  { at, database, user }: Server,
  env: Environment,
): string {
  const problem = `Postgres at ${at}: ${error.message}`;
  switch (error.code) {
    case '28P01':
      return `${problem}; check the user and password in DATABASE_URL`;
    case '28000':
      return /no encryption|SSL off/.test(error.message)
        ? `${problem}; the server requires TLS: add ?sslmode=require to DATABASE_URL`
        : `${problem}; check the user in DATABASE_URL, and the server's pg_hba.conf`;
    case '3D000':
      return `${problem}; check the database in DATABASE_URL, or create it: create database "${database}"`;
    case '3F000':
    case '42P01':
    case '42703':
    case '42883':
    case '42704':
      return `${problem}; the schema in database "${database}" is missing or older than this version: run \`inbox migrate\``;
    case '42501':
      return (
        `${problem}; the login "${user}" in DATABASE_URL has no permission for this. As the owner of the schema, run: grant ` +
        `inbox_operator to "${user}" (for operators; inbox_worker is for workers, inbox_sender for senders). Only the owner runs migrations`
      );
    case '53300':
      return `${problem}; all of its max_connections are in use: close some connections, or try again later`;
    case '57P03':
      return `${problem}; the server is starting, stopping or recovering: try again in a moment`;
    case '57P01':
    case '57P02':
      return `${problem}; the server was shut down, or it ended this session. It is safe to run the same command again`;
    case '25006':
      return `${problem}; the server is a standby or read-only: DATABASE_URL must name the primary`;
    case '57014':
    case '55P03':
      return `${problem}; another session holds a lock, or the statement took too long: try again`;
    default: {
      const more =
        env['INBOX_LOG_LEVEL'] === 'debug' ? `\n${error.stack}` : ' (INBOX_LOG_LEVEL=debug shows more)';
      return `${problem} [${error.code}]${more}`;
    }
  }
}

const GRPC_REMEDIES: Record<number, string> = {
  [GRPC.deadlineExceeded]: 'the server did not answer in time: check the server at TEMPORAL_ADDRESS',
  [GRPC.notFound]: 'check TEMPORAL_NAMESPACE, and that the namespace exists',
  [GRPC.permissionDenied]:
    'this client is not allowed to do that: check TEMPORAL_API_KEY or the certificate, and TEMPORAL_NAMESPACE',
  [GRPC.resourceExhausted]: 'the server has reached a limit: try again later',
  [GRPC.unavailable]: 'check that the server is running, TEMPORAL_ADDRESS (host:port) and the TLS settings',
  [GRPC.unauthenticated]:
    'the server does not recognize this client: check TEMPORAL_API_KEY or the certificate',
};

function describeTemporal(error: GrpcError, env: Environment): string {
  const at = env['TEMPORAL_ADDRESS'] ? ` at ${env['TEMPORAL_ADDRESS']}` : '';
  const remedy = GRPC_REMEDIES[error.code];
  return `Temporal${at}: ${error.details || error.message}${remedy === undefined ? '' : `; ${remedy}`}`;
}

function codeOf(error: unknown): string | null {
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : null;
}

function syscallOf(error: unknown): string | null {
  if (error instanceof AggregateError) return syscallOf(error.errors[0]);
  const { syscall } = error as NodeJS.ErrnoException;
  return syscall === 'connect' || syscall === 'getaddrinfo' ? syscall : null;
}
