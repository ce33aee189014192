import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DatabaseError } from 'pg';
import {
  errorFields,
  isDatabaseUnavailable,
  isServerFull,
  ServerConnectionTimeoutError,
} from '../../../src/platform/postgres-errors.ts';

/** As Postgres says it. */
function said(code: string, routine = 'errfinish'): DatabaseError {
  return Object.assign(saidByPooler(code, 'secret'), { routine });
}

function saidByPooler(code: string, message: string): DatabaseError {
  return Object.assign(new DatabaseError(message, message.length, 'error'), { code });
}

const coded = (code: string) => Object.assign(new Error(`connect ${code} 127.0.0.1:5432`), { code });

describe('whether Postgres was available', () => {
  const away: [what: string, error: unknown][] = [
    ...[
      'ECONNREFUSED',
      'ECONNRESET',
      'EPIPE',
      'ETIMEDOUT',
      'ENOTFOUND',
      'EAI_AGAIN',
      'EHOSTUNREACH',
      'ENOENT',
    ].map((code): [string, unknown] => [code, coded(code)]),
    ['a refusal on IPv6 and IPv4', new AggregateError([coded('ECONNREFUSED'), coded('ECONNREFUSED')])],
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
    ['no server connection behind the pooler', new ServerConnectionTimeoutError(5_000)],
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
    ].map(([code, name]): [string, unknown] => [`${code} ${name}`, said(code!)]),
    ['a plan that a migration made invalid', said('0A000', 'RevalidateCachedQuery')],
    ['PgBouncer: query_wait_timeout', saidByPooler('08P01', 'query_wait_timeout')],
    ['PgBouncer: server login failed', saidByPooler('08P01', 'server login failed: FATAL')],
    [
      'PgBouncer: pgbouncer cannot connect to server',
      saidByPooler('08P01', 'pgbouncer cannot connect to server'),
    ],
    ['another pooler, with an SQLSTATE of its own choice', saidByPooler('XX000', 'max clients reached')],
  ];
  for (const [what, error] of away)
    it(`was not: ${what}`, () => assert.equal(isDatabaseUnavailable(error), true));

  const statements: [what: string, error: unknown][] = [
    ['57014 query_canceled: a limit, or a person', said('57014')],
    ['25P03 idle_in_transaction_session_timeout: the limit of the attempt', said('25P03')],
    ['25P04 transaction_timeout', said('25P04')],
    ['25P02 in_failed_sql_transaction: only a consequence', said('25P02')],
    ['55P03 lock_not_available', said('55P03')],
    ['55000 object_not_in_prerequisite_state', said('55000')],
    ['40001 serialization_failure', said('40001')],
    ['40P01 deadlock_detected', said('40P01')],
    ['53400: temp_file_limit', said('53400')],
    ['08P01 of Postgres: a wrong number of parameters', said('08P01', 'exec_bind_message')],
    ['08006 of a foreign server', said('08006', 'pgfdw_report_error')],
    ['0A000 feature_not_supported', said('0A000', 'transformSetOperationTree')],
    ['42501 insufficient_privilege', said('42501')],
    ['42P01 undefined_table', said('42P01')],
    ['23505 unique_violation', said('23505')],
    ['XX000 internal_error', said('XX000')],
    ['an error of the handler', new Error('Connection refused by the bank')],
    ['no error', 'Connection terminated'],
    ['nothing', undefined],
  ];
  for (const [what, error] of statements)
    it(`was: ${what}`, () => assert.equal(isDatabaseUnavailable(error), false));

  it('has no room for another connection, which is another matter', () => {
    assert.equal(isServerFull(said('53300')), true);
    assert.equal(isServerFull(new ServerConnectionTimeoutError(1)), true);
    assert.equal(isServerFull(said('53100')), false);
    assert.equal(isServerFull(coded('ECONNREFUSED')), false);
  });
});

describe('what a log line says of an error', () => {
  it('has the SQLSTATE, and not the message, of a statement that failed', () => {
    assert.deepEqual(errorFields(said('23505')), { error: 'DatabaseError', sqlstate: '23505' });
    assert.deepEqual(errorFields(said('53100')), { error: 'DatabaseError', sqlstate: '53100' });
  });
  it('has the message of a connection that failed', () => {
    assert.deepEqual(errorFields(coded('ECONNREFUSED')), {
      error: 'Error',
      code: 'ECONNREFUSED',
      reason: 'connect ECONNREFUSED 127.0.0.1:5432',
    });
    assert.deepEqual(errorFields(saidByPooler('08P01', 'query_wait_timeout')), {
      error: 'DatabaseError',
      sqlstate: '08P01',
      reason: 'query_wait_timeout',
    });
    const both = new AggregateError([coded('ECONNREFUSED')]);
    assert.deepEqual(errorFields(both), {
      error: 'AggregateError',
      code: 'ECONNREFUSED',
      reason: 'connect ECONNREFUSED 127.0.0.1:5432',
    });
  });
  it('has the class of any other error, and its code', () => {
    class NoSuchAccount extends Error {}
    assert.deepEqual(errorFields(new NoSuchAccount('secret')), { error: 'NoSuchAccount' });
    assert.deepEqual(errorFields(Object.assign(new TypeError('secret'), { code: 'ERR_X' })), {
      error: 'TypeError',
      code: 'ERR_X',
    });
    assert.deepEqual(errorFields('secret'), { error: 'string' });
  });
});
