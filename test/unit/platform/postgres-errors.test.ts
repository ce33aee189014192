import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DatabaseError } from 'pg';
import {
  errorFields,
  isDatabaseUnavailable,
  isServerFull,
  ServerConnectionTimeoutError,
} from '../../../src/platform/postgres-errors.ts';

/** An error as Postgres reports it. */
function postgresError(code: string, routine = 'errfinish'): DatabaseError {
  return Object.assign(poolerError(code, 'secret'), { routine });
}

function poolerError(code: string, message: string): DatabaseError {
  return Object.assign(new DatabaseError(message, message.length, 'error'), { code });
}

const networkError = (code: string) => Object.assign(new Error(`connect ${code} 127.0.0.1:5432`), { code });

describe('Postgres', () => {
  const unavailable: [what: string, error: unknown][] = [
    ...[
      'ECONNREFUSED',
      'ECONNRESET',
      'EPIPE',
      'ETIMEDOUT',
      'ENOTFOUND',
      'EAI_AGAIN',
      'EHOSTUNREACH',
      'ENOENT',
    ].map((code): [string, unknown] => [code, networkError(code)]),
    [
      'a connection refused on both IPv6 and IPv4',
      new AggregateError([networkError('ECONNREFUSED'), networkError('ECONNREFUSED')]),
    ],
    ...[
      'Connection terminated',
      'Connection terminated unexpectedly',
      'Connection terminated due to connection timeout',
      'timeout exceeded when trying to connect',
      'timeout expired',
      'Client has encountered a connection error and is not queryable',
      'Client was closed and is not queryable',
      'Query read timeout',
      'Received unexpected commandComplete message from backend.',
    ].map((message): [string, unknown] => [message, new Error(message)]),
    ['a pooler without a server connection', new ServerConnectionTimeoutError(5_000)],
    ...[
      ['57P01', 'admin_shutdown'],
      ['57P02', 'crash_shutdown'],
      ['57P03', 'cannot_connect_now'],
      ['57P04', 'database_dropped'],
      ['57P05', 'idle_session_timeout'],
      ['53000', 'insufficient_resources'],
      ['53100', 'disk_full'],
      ['53200', 'out_of_memory'],
      ['53300', 'too_many_connections'],
      ['58000', 'system_error'],
      ['58030', 'io_error'],
      ['25006', 'read_only_sql_transaction'],
      ['26000', 'invalid_sql_statement_name'],
      ['42P05', 'duplicate_prepared_statement'],
      ['28P01', 'invalid_password'],
      ['28000', 'invalid_authorization_specification'],
      ['3D000', 'invalid_catalog_name'],
    ].map(([code, name]): [string, unknown] => [`${code} ${name}`, postgresError(code!)]),
    ['a plan that a migration made invalid', postgresError('0A000', 'RevalidateCachedQuery')],
    ['PgBouncer: query_wait_timeout', poolerError('08P01', 'query_wait_timeout')],
    ['PgBouncer: server login failed', poolerError('08P01', 'server login failed: FATAL')],
    [
      'PgBouncer: pgbouncer cannot connect to server',
      poolerError('08P01', 'pgbouncer cannot connect to server'),
    ],
    ['another pooler that uses its own SQLSTATE', poolerError('XX000', 'max clients reached')],
  ];
  for (const [what, error] of unavailable)
    it(`counts as unavailable after ${what}`, () => assert.equal(isDatabaseUnavailable(error), true));

  const otherErrors: [what: string, error: unknown][] = [
    ['57014 query_canceled: a limit, or a person', postgresError('57014')],
    ['25P03 idle_in_transaction_session_timeout: the limit of the attempt', postgresError('25P03')],
    ['25P04 transaction_timeout', postgresError('25P04')],
    ['25P02 in_failed_sql_transaction: only a consequence', postgresError('25P02')],
    ['55P03 lock_not_available', postgresError('55P03')],
    ['55000 object_not_in_prerequisite_state', postgresError('55000')],
    ['40001 serialization_failure', postgresError('40001')],
    ['40P01 deadlock_detected', postgresError('40P01')],
    ['53400: temp_file_limit', postgresError('53400')],
    ['08P01 of Postgres: a wrong number of parameters', postgresError('08P01', 'exec_bind_message')],
    ['08006 of a foreign server', postgresError('08006', 'pgfdw_report_error')],
    ['0A000 feature_not_supported', postgresError('0A000', 'transformSetOperationTree')],
    ['42501 insufficient_privilege', postgresError('42501')],
    ['42P01 undefined_table', postgresError('42P01')],
    ['23505 unique_violation', postgresError('23505')],
    ['XX000 internal_error', postgresError('XX000')],
    ['an error of the handler', new Error('Connection refused by the bank')],
    ['text instead of an error', 'Connection terminated'],
    ['undefined', undefined],
  ];
  for (const [what, error] of otherErrors)
    it(`counts as available after ${what}`, () => assert.equal(isDatabaseUnavailable(error), false));

  it('counts as full only if it cannot accept another connection', () => {
    assert.equal(isServerFull(postgresError('53300')), true);
    assert.equal(isServerFull(new ServerConnectionTimeoutError(1)), true);
    assert.equal(isServerFull(postgresError('53100')), false);
    assert.equal(isServerFull(networkError('ECONNREFUSED')), false);
  });
});

describe('errorFields', () => {
  it('contains the SQLSTATE of a failed statement, but not its message', () => {
    assert.deepEqual(errorFields(postgresError('23505')), { error: 'DatabaseError', sqlstate: '23505' });
    assert.deepEqual(errorFields(postgresError('53100')), { error: 'DatabaseError', sqlstate: '53100' });
  });
  it('contains the message of a failed connection', () => {
    assert.deepEqual(errorFields(networkError('ECONNREFUSED')), {
      error: 'Error',
      code: 'ECONNREFUSED',
      reason: 'connect ECONNREFUSED 127.0.0.1:5432',
    });
    assert.deepEqual(errorFields(poolerError('08P01', 'query_wait_timeout')), {
      error: 'DatabaseError',
      sqlstate: '08P01',
      reason: 'query_wait_timeout',
    });
    const both = new AggregateError([networkError('ECONNREFUSED')]);
    assert.deepEqual(errorFields(both), {
      error: 'AggregateError',
      code: 'ECONNREFUSED',
      reason: 'connect ECONNREFUSED 127.0.0.1:5432',
    });
  });
  it('contains the class and the code of any other error', () => {
    class NoSuchAccount extends Error {}
    assert.deepEqual(errorFields(new NoSuchAccount('secret')), { error: 'NoSuchAccount' });
    assert.deepEqual(errorFields(Object.assign(new TypeError('secret'), { code: 'ERR_X' })), {
      error: 'TypeError',
      code: 'ERR_X',
    });
    assert.deepEqual(errorFields('secret'), { error: 'string' });
  });
});
