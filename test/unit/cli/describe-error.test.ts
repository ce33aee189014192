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

describe('describeError', () => {
  for (const [what, error, expected] of [
    [
      'connection refused',
      failed('ECONNREFUSED', 'connect ECONNREFUSED 10.0.0.1:6543', 'connect'),
      /nothing is listening there/,
    ],
    [
      'connection refused on every address',
      new AggregateError([failed('ECONNREFUSED', 'connect ECONNREFUSED ::1:6543', 'connect')]),
      /nothing is listening there/,
    ],
    [
      'unknown host',
      failed('ENOTFOUND', 'getaddrinfo ENOTFOUND db.example.com', 'getaddrinfo'),
      /host not found/,
    ],
    [
      'no answer from DNS',
      failed('EAI_AGAIN', 'getaddrinfo EAI_AGAIN db.example.com', 'getaddrinfo'),
      /DNS does not answer/,
    ],
    ['missing socket', failed('ENOENT', 'connect ENOENT /run/.s.PGSQL.5432', 'connect'), /socket not found/],
    ['no route to the host', failed('EHOSTUNREACH', 'connect EHOSTUNREACH', 'connect'), /network/],
    ['connection timeout', new Error('timeout expired'), /firewall/],
    ['connection timeout of the pool', new Error('timeout exceeded when trying to connect'), /firewall/],
    ['connection reset', failed('ECONNRESET', 'read ECONNRESET'), /log/],
    [
      'lost connection',
      new Error('Connection terminated unexpectedly'),
      /was lost.*safe to run the same command again/,
    ],
    ['server without TLS', new Error('The server does not support SSL connections'), /with TLS.*sslmode/],
    [
      'untrusted certificate',
      failed('SELF_SIGNED_CERT_IN_CHAIN', 'self-signed certificate'),
      /with TLS.*sslrootcert/,
    ],
    [
      'certificate for another host',
      failed('ERR_TLS_CERT_ALTNAME_INVALID', 'Host: x'),
      /the certificate is for/,
    ],
    [
      'missing password',
      new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string'),
      /PGPASSWORD/,
    ],
    [
      'wrong password',
      answered('28P01', 'password authentication failed for user "ann"'),
      /user and password in/,
    ],
    [
      'TLS required by pg_hba.conf',
      answered('28000', 'no pg_hba.conf entry for host "x", no encryption'),
      /sslmode=require/,
    ],
    ['unknown database', answered('3D000', 'database "orders" does not exist'), /create database "orders"/],
    ['missing schema', answered('3F000', 'schema "inbox" does not exist'), /`inbox migrate`/],
    ['missing table', answered('42P01', 'relation "inbox.entries" does not exist'), /`inbox migrate`/],
    [
      'old schema',
      answered('42703', 'column "x" does not exist'),
      /older than this version.*`inbox migrate`/,
    ],
    ['old function', answered('42883', 'function inbox.send(x) does not exist'), /`inbox migrate`/],
    [
      'missing permission',
      answered('42501', 'permission denied for schema inbox'),
      /grant inbox_operator to "ann"/,
    ],
    ['too many connections', answered('53300', 'sorry, too many clients already'), /max_connections/],
    [
      'server that is starting',
      answered('57P03', 'the database system is starting up'),
      /try again in a moment/,
    ],
    [
      'server that was shut down',
      answered('57P01', 'terminating connection due to administrator command'),
      /safe to run the same command again/,
    ],
    ['standby', answered('25006', 'cannot execute UPDATE in a read-only transaction'), /name the primary/],
    ['any other error', answered('XX000', 'a bug'), /a bug \[XX000\]/],
  ] as const) {
    it(`names the server and the remedy, but no password, for Postgres: ${what}`, () => {
      const text = describeError(error, env);
      assert.match(text, expected);
      assert.match(text, /Postgres/);
      assert.match(text, /db\.example\.com:6543/);
      assert.doesNotMatch(text, /s3cret/);
      assert.doesNotMatch(text, /\n/);
    });
  }

  for (const [code, expected] of [
    [4, /TEMPORAL_ADDRESS/],
    [5, /TEMPORAL_NAMESPACE/],
    [7, /TEMPORAL_API_KEY/],
    [14, /TEMPORAL_ADDRESS/],
    [16, /TEMPORAL_API_KEY/],
  ] as const) {
    it(`names the server and the setting to check for gRPC code ${code}, even as the cause of another error`, () => {
      for (const error of [
        grpc(code, 'says no'),
        new Error('Failed to signal', { cause: grpc(code, 'says no') }),
      ]) {
        assert.match(describeError(error, env), expected);
        assert.match(describeError(error, env), /^Temporal at temporal:7233: says no; /);
      }
    });
  }

  it('handles an error that is its own cause', () => {
    const error = new Error('in circles');
    error.cause = error;
    assert.match(describeError(error, env), /^in circles /);
  });

  it('keeps messages of inbox errors, and does not blame Postgres for a missing file', () => {
    assert.equal(describeError(new InboxError('do this'), env), 'do this');
    assert.doesNotMatch(
      describeError(failed('ENOENT', "ENOENT: no such file, open 'x'", 'open'), env),
      /Postgres/,
    );
    assert.match(describeError(new Error('what'), env), /^what \(INBOX_LOG_LEVEL=debug shows more\)$/);
    assert.match(describeError(new Error('what'), { ...env, INBOX_LOG_LEVEL: 'debug' }), /\n +at /);
  });

  it('still describes the error when DATABASE_URL is invalid', () => {
    const refused = failed('ECONNREFUSED', 'connect ECONNREFUSED', 'connect');
    assert.match(
      describeError(refused, { DATABASE_URL: 'postgres://a:s3cret@[::1' }),
      /Postgres.*ECONNREFUSED/,
    );
    assert.doesNotMatch(describeError(refused, { DATABASE_URL: 'postgres://a:s3cret@[::1' }), /s3cret/);
  });
});
