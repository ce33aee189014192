import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DatabaseError } from 'pg';
import { describeError } from '../../../src/cli/shared/describe-error.ts';
import { InboxError } from '../../../src/core/errors.ts';

const env = {
  DATABASE_URL: 'postgres://ann:s3cret@db.example.com:6543/orders',
  TEMPORAL_ADDRESS: 'temporal:7233',
};

const failed = (code: string, message: string, syscall?: string) =>
  Object.assign(new Error(message), { code, ...(syscall !== undefined && { syscall }) });

const answered = (code: string, message: string) =>
  Object.assign(new DatabaseError(message, 0, 'error'), { code });

const grpc = (code: number, details: string) =>
  Object.assign(new Error(`${code} ${details}`), { code, details, metadata: {} });

describe('what an error is described as', () => {
  for (const [what, error, says] of [
    [
      'nobody listens',
      failed('ECONNREFUSED', 'connect ECONNREFUSED 10.0.0.1:6543', 'connect'),
      /nothing listens there/,
    ],
    [
      'nobody listens on either address',
      new AggregateError([failed('ECONNREFUSED', 'connect ECONNREFUSED ::1:6543', 'connect')]),
      /nothing listens there/,
    ],
    [
      'no such host',
      failed('ENOTFOUND', 'getaddrinfo ENOTFOUND db.example.com', 'getaddrinfo'),
      /no such host/,
    ],
    [
      'no name server',
      failed('EAI_AGAIN', 'getaddrinfo EAI_AGAIN db.example.com', 'getaddrinfo'),
      /name server/,
    ],
    ['no such socket', failed('ENOENT', 'connect ENOENT /run/.s.PGSQL.5432', 'connect'), /no such socket/],
    ['no way there', failed('EHOSTUNREACH', 'connect EHOSTUNREACH', 'connect'), /network/],
    ['no answer', new Error('timeout expired'), /firewall/],
    ['no answer of the pool', new Error('timeout exceeded when trying to connect'), /firewall/],
    ['it ended at once', failed('ECONNRESET', 'read ECONNRESET'), /log/],
    [
      'it broke off',
      new Error('Connection terminated unexpectedly'),
      /broke off.*same command again is safe/,
    ],
    ['no TLS there', new Error('The server does not support SSL connections'), /with TLS.*sslmode/],
    [
      'a strange certificate',
      failed('SELF_SIGNED_CERT_IN_CHAIN', 'self-signed certificate'),
      /with TLS.*sslrootcert/,
    ],
    [
      'another host in the certificate',
      failed('ERR_TLS_CERT_ALTNAME_INVALID', 'Host: x'),
      /the certificate is for/,
    ],
    [
      'no password',
      new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string'),
      /PGPASSWORD/,
    ],
    [
      'a wrong password',
      answered('28P01', 'password authentication failed for user "ann"'),
      /user and password in/,
    ],
    [
      'pg_hba wants TLS',
      answered('28000', 'no pg_hba.conf entry for host "x", no encryption'),
      /sslmode=require/,
    ],
    ['no such database', answered('3D000', 'database "orders" does not exist'), /create database "orders"/],
    ['no schema', answered('3F000', 'schema "inbox" does not exist'), /`inbox migrate`/],
    ['no table', answered('42P01', 'relation "inbox.entries" does not exist'), /`inbox migrate`/],
    [
      'an old schema',
      answered('42703', 'column "x" does not exist'),
      /older than this version.*`inbox migrate`/,
    ],
    ['an old function', answered('42883', 'function inbox.send(x) does not exist'), /`inbox migrate`/],
    ['no rights', answered('42501', 'permission denied for schema inbox'), /grant inbox_operator to "ann"/],
    ['full', answered('53300', 'sorry, too many clients already'), /max_connections/],
    ['starting', answered('57P03', 'the database system is starting up'), /try again in a moment/],
    [
      'shut down',
      answered('57P01', 'terminating connection due to administrator command'),
      /same command again is safe/,
    ],
    ['a standby', answered('25006', 'cannot execute UPDATE in a read-only transaction'), /name the primary/],
    ['anything else', answered('XX000', 'a bug'), /a bug \[XX000\]/],
  ] as const) {
    it(`Postgres: ${what}`, () => {
      const said = describeError(error, env);
      assert.match(said, says);
      assert.match(said, /Postgres/);
      assert.match(said, /db\.example\.com:6543/);
      assert.doesNotMatch(said, /s3cret/);
      assert.doesNotMatch(said, /\n/);
    });
  }

  for (const [code, says] of [
    [4, /TEMPORAL_ADDRESS/],
    [5, /TEMPORAL_NAMESPACE/],
    [7, /TEMPORAL_API_KEY/],
    [14, /TEMPORAL_ADDRESS/],
    [16, /TEMPORAL_API_KEY/],
  ] as const) {
    it(`Temporal: code ${code}, also as the cause of the client's own error`, () => {
      for (const error of [
        grpc(code, 'says no'),
        new Error('Failed to signal', { cause: grpc(code, 'says no') }),
      ]) {
        assert.match(describeError(error, env), says);
        assert.match(describeError(error, env), /^Temporal at temporal:7233: says no; /);
      }
    });
  }

  it('an error that is its own cause', () => {
    const error = new Error('in circles');
    error.cause = error;
    assert.match(describeError(error, env), /^in circles /);
  });

  it('our own errors stand for themselves, and a file that is missing is not a server', () => {
    assert.equal(describeError(new InboxError('do this'), env), 'do this');
    assert.doesNotMatch(
      describeError(failed('ENOENT', "ENOENT: no such file, open 'x'", 'open'), env),
      /Postgres/,
    );
    assert.match(describeError(new Error('what'), env), /^what \(INBOX_LOG_LEVEL=debug shows more\)$/);
    assert.match(describeError(new Error('what'), { ...env, INBOX_LOG_LEVEL: 'debug' }), /\n +at /);
  });

  it('a URL that cannot be read does not hide the error', () => {
    const refused = failed('ECONNREFUSED', 'connect ECONNREFUSED', 'connect');
    assert.match(
      describeError(refused, { DATABASE_URL: 'postgres://a:s3cret@[::1' }),
      /Postgres.*ECONNREFUSED/,
    );
    assert.doesNotMatch(describeError(refused, { DATABASE_URL: 'postgres://a:s3cret@[::1' }), /s3cret/);
  });
});
