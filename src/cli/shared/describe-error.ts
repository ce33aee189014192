/**
 * Errors in the words of someone who has to do something about it: which server, which setting, what to check.
 *
 * @module
 */
import { Client, DatabaseError } from 'pg';
import { messageOf } from '../../platform/error-message.ts';
import { InboxError } from '../../core/errors.ts';
import { findGrpcError, GRPC } from '../../temporal/grpc-error.ts';
import type { GrpcError } from '../../temporal/grpc-error.ts';

type Environment = Record<string, string | undefined>;

/** The message for one line on stderr; never with a password in it. */
export function describeError(error: unknown, env: Environment = process.env): string {
  if (error instanceof InboxError) return error.message;
  const grpc = findGrpcError(error);
  if (grpc) return describeTemporal(grpc, env);
  if (error instanceof DatabaseError) return describeAnswer(error, serverOf(env), env);
  const connection = describeConnection(error, serverOf(env));
  if (connection !== null) return connection;
  if (env['INBOX_LOG_LEVEL'] === 'debug' && error instanceof Error) return error.stack ?? error.message;
  return `${messageOf(error)} (INBOX_LOG_LEVEL=debug shows more)`;
}

interface Server {
  /** `db.example.com:5432`, or the folder of a socket. */
  at: string;
  database: string;
  user: string;
}

/** As pg understands the URL and the PG… variables together; without the password. */
function serverOf(env: Environment): Server {
  try {
    const { host, port, database, user } = new Client({ connectionString: env['DATABASE_URL'] });
    const at = host.includes(':') && !host.startsWith('/') ? `[${host}]:${port}` : `${host}:${port}`;
    return { at, database: database ?? '', user: user ?? '' };
  } catch {
    return { at: 'the host in DATABASE_URL', database: '', user: '' };
  }
}

/** What became of the attempt to connect, by Node's codes. */
const CONNECTION: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there: check that it runs, and the host and port in DATABASE_URL',
  ENOTFOUND: 'no such host: check the host in DATABASE_URL, and the name server',
  EAI_AGAIN: 'the name server does not answer: check the host in DATABASE_URL, and the network',
  ENOENT: 'there is no such socket: check that it runs, and the host in DATABASE_URL',
  EACCES: 'this user may not connect there: check the host and port in DATABASE_URL',
  ETIMEDOUT: 'no answer: check the host and port in DATABASE_URL, and the firewall',
  EHOSTUNREACH: 'there is no way to that host: check the host in DATABASE_URL, and the network',
  ENETUNREACH: 'there is no way to that network: check the host in DATABASE_URL, and the network',
  ECONNRESET: 'it ended the connection: check its log, and that the port in DATABASE_URL is that of Postgres',
  EPIPE: 'it ended the connection: check its log, and that the port in DATABASE_URL is that of Postgres',
};

const TLS_CODES = /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|EPROTO$)/;

function describeConnection(error: unknown, { at, user, database }: Server): string | null {
  const said = messageOf(error);
  const code = codeOf(error);
  const start = `Postgres cannot be reached at ${at}`;
  const isNetwork = code !== null && code in CONNECTION;
  // ENOENT and EACCES are also what files have.
  if (isNetwork && (syscallOf(error) !== null || !['ENOENT', 'EACCES'].includes(code))) {
    return `${start} (${said}): ${CONNECTION[code]}`;
  }
  if (/does not support SSL/.test(said)) {
    return `${start} with TLS (${said}): turn TLS on in that server, or leave sslmode out of DATABASE_URL`;
  }
  if (code !== null && TLS_CODES.test(code)) {
    return `${start} with TLS (${code}: ${said}): check sslmode and sslrootcert in DATABASE_URL, and the host that the certificate is for`;
  }
  if (/^SASL|client password must be a string/.test(said)) {
    return `Postgres at ${at} asks for a password of user "${user}" (${said}): give it in DATABASE_URL, or in PGPASSWORD`;
  }
  if (/timeout expired|timeout exceeded when trying to connect|connection timeout/i.test(said)) {
    return `${start} (${said}): ${CONNECTION['ETIMEDOUT']}`;
  }
  if (/Connection terminated|Client was closed|Connection ended/i.test(said)) {
    return (
      `the connection to Postgres at ${at}, database "${database}", broke off (${said}): check its log, and that the port in ` +
      'DATABASE_URL is that of Postgres. What was under way may have been done or not; the same command again is safe'
    );
  }
  return null;
}

/** What Postgres itself said, by SQLSTATE. https://www.postgresql.org/docs/current/errcodes-appendix.html */
function describeAnswer(error: DatabaseError, { at, database, user }: Server, env: Environment): string {
  const said = `Postgres at ${at}: ${error.message}`;
  switch (error.code) {
    case '28P01':
      return `${said}; check the user and password in DATABASE_URL`;
    case '28000':
      return /no encryption|SSL off/.test(error.message)
        ? `${said}; it wants TLS: add ?sslmode=require to DATABASE_URL`
        : `${said}; check the user in DATABASE_URL, and pg_hba.conf of that server`;
    case '3D000':
      return `${said}; check the database in DATABASE_URL, or make it: create database "${database}"`;
    case '3F000':
    case '42P01':
    case '42703':
    case '42883':
    case '42704':
      return `${said}; the schema in database "${database}" is missing or older than this version: run \`inbox migrate\``;
    case '42501':
      return (
        `${said}; the login "${user}" in DATABASE_URL may not do this. As the owner of the schema: grant inbox_operator to "${user}" ` +
        '(for people who look and act), inbox_worker for workers, inbox_sender for senders; migrations run as the owner'
      );
    case '53300':
      return `${said}; its max_connections are used up: end some, or try again later`;
    case '57P03':
      return `${said}; it is starting, stopping or recovering: try again in a moment`;
    case '57P01':
    case '57P02':
      return `${said}; it was shut down, or ended this session. The same command again is safe`;
    case '25006':
      return `${said}; it is a standby or read-only: DATABASE_URL must name the primary`;
    case '57014':
    case '55P03':
      return `${said}; another session was in the way, or the statement took too long: try again`;
    default: {
      const more =
        env['INBOX_LOG_LEVEL'] === 'debug' ? `\n${error.stack}` : ' (INBOX_LOG_LEVEL=debug shows more)';
      return `${said} [${error.code}]${more}`;
    }
  }
}

const GRPC_REMEDIES: Record<number, string> = {
  [GRPC.deadlineExceeded]: 'no answer in time: check that the server at TEMPORAL_ADDRESS works',
  [GRPC.notFound]: 'check TEMPORAL_NAMESPACE, and that the namespace exists',
  [GRPC.permissionDenied]:
    'this client may not do that: check TEMPORAL_API_KEY or the certificate, and TEMPORAL_NAMESPACE',
  [GRPC.resourceExhausted]: 'the server is at a limit: try again later',
  [GRPC.unavailable]: 'check that the server runs, TEMPORAL_ADDRESS (host:port) and the TLS settings',
  [GRPC.unauthenticated]: 'this client is not known there: check TEMPORAL_API_KEY or the certificate',
};

function describeTemporal(error: GrpcError, env: Environment): string {
  const at = env['TEMPORAL_ADDRESS'] ? ` at ${env['TEMPORAL_ADDRESS']}` : '';
  const todo = GRPC_REMEDIES[error.code];
  return `Temporal${at}: ${error.details || error.message}${todo === undefined ? '' : `; ${todo}`}`;
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
