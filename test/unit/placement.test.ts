/**
 * Checks that SQL, and the names that Temporal knows, each appear in one place in the source.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { readSource, readSources } from '../support/sources.ts';
import type { Source } from '../support/sources.ts';

/** SQL statements at the start of a literal. */
const SQL =
  /^\s*(select\s|insert\s+into\s|update\s+[\w.]+\s+(as\s+|\w\s+)?set\s|delete\s+from\s|with\s+\w+\s+as\s|(create|alter|drop)\s+(table|schema|index|type|function)\s|truncate\s|listen\s|notify\s|set\s+local\s|savepoint\s|(begin|commit|rollback)\s*;?\s*$)/i;
/**
 * Exceptions: files that begin and end transactions contain these words, a span is named `commit`, and the embedded server
 * checks whether it is running.
 */
const ALLOWED_SQL: Record<string, string[]> = {
  'src/platform/postgres.ts': ['begin', 'commit', 'COMMIT', 'rollback'],
  'src/attempts/handler-transaction.ts': ['begin'],
  'src/attempts/run-attempt.ts': ['rollback', 'commit'],
  'src/telemetry/traced-attempt.ts': ['commit'],
  'src/dev/postgres/server.ts': ['select 1', 'select 1 from pg_database where datname = $1'],
};

function sqlOutsideTheStore(files: Source[]): string[] {
  return files
    .filter(({ path }) => !path.startsWith('src/store/') && path !== 'src/platform/session.ts')
    .flatMap(({ path, literals }) =>
      literals
        .filter((literal) => SQL.test(literal) && !ALLOWED_SQL[path]?.includes(literal))
        .map((literal) => `${path}: ${literal.trim().slice(0, 60)}`),
    );
}

const PUBLIC_NAMES =
  /^(handleCommand|replayCampaign|deliverAlert|InboxStatus|CommandType|CorrelationId|FailureGroup)$/;
/** A literal passed to Temporal as the name of a workflow, signal, query or task queue. */
const NAMED_IN_PLACE =
  /\b(?:define(?:Signal|Query|Update)(?:<[^(]*>)?|workflow\s*\.\s*(?:start|execute|signalWithStart)|(?:h|H)andle\s*\.\s*(?:signal|query)(?:<[^(]*>)?)\(\s*['"`]|\b(?:signal|taskQueue):\s*['"`]/;

function namesOutsideTheProtocol(files: Source[]): string[] {
  return files
    .filter(({ path }) => path !== 'src/core/protocol.ts')
    .filter(
      ({ literals, code }) =>
        literals.some((literal) => PUBLIC_NAMES.test(literal)) || NAMED_IN_PLACE.test(code),
    )
    .map(({ path }) => path);
}

describe('the source', () => {
  let shipped: Source[];
  before(async () => {
    shipped = await readSources(['src', 'activities', 'workflows']);
    assert.ok(shipped.length > 200, 'the sources were found');
  });

  it('contains SQL only in src/store', () => {
    // These two files read and replace the statements that begin and end a handler's transactions.
    const words = ['src/attempts/transaction-control.ts: ', 'src/attempts/nested-transactions.ts: '];
    const found = sqlOutsideTheStore(shipped).filter((each) => !words.some((file) => each.startsWith(file)));
    assert.deepEqual(found, []);
  });

  it('contains the names that Temporal knows only in src/core/protocol.ts', () => {
    assert.deepEqual(namesOutsideTheProtocol(shipped), []);
  });
});

const read = (...lines: string[]) => readSource('src/deep/file.ts', lines.join('\n'));

describe('the source check', () => {
  it('finds SQL in any kind of literal, but not in comments or sentences', () => {
    const found = sqlOutsideTheStore([
      read(
        "db.query('select 1');",
        'db.query("DELETE FROM inbox.entries");',
        'db.query(`',
        '  update inbox.entries set status = $1`);',
        'db.query(`with gone as (delete from x) select 1`);',
        "text.replace(/\"[^\"]*\"|'[^']*'|`[^`]*`/g, '?');",
        "db.query('commit');",
        "// db.query('select 2');",
        "throw new Error('update the package, select another, delete it or begin again');",
      ),
    ]);
    assert.equal(found.length, 5);
  });

  it('finds names outside the protocol', () => {
    for (const line of [
      "client.workflow.start('other', {})",
      "handle.signal('replay')",
      "handle.query<StatusReport>('status')",
      "defineSignal<[ReplayRequest?]>('replay')",
      "const options = { taskQueue: 'inbox' }",
      "start('handleCommand')",
    ]) {
      assert.deepEqual(namesOutsideTheProtocol([read(line)]), ['src/deep/file.ts'], line);
    }
    assert.deepEqual(
      namesOutsideTheProtocol([read("const kind = 'replay'; handle.signal(REPLAY_SIGNAL)")]),
      [],
    );
  });
});
