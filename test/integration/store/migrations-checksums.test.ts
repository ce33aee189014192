import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { checkSchema, migrate, readMigrations } from '../../../src/store/migrate.ts';
import { compareSchema } from '../../../src/store/schema-state.ts';
import { appliedMigrations } from '../../../src/store/migrations.ts';
import { packageFile } from '../../../src/platform/package-files.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { rows } from '../../support/inbox.ts';

const MARK = '\uFEFF';
const withCarriageReturns = (text: string) => text.replaceAll('\n', '\r\n');

/** Forms that the files can have after a checkout or after editing. */
const FORMS: [name: string, change: (text: string) => string][] = [
  ['LF', (text) => text],
  ['CRLF', withCarriageReturns],
  ['LF and a byte order mark', (text) => MARK + text],
  ['CRLF and a byte order mark', (text) => MARK + withCarriageReturns(text)],
];

describe('the checksums of migrations', () => {
  let database: TestDatabase;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'inbox-checksums-'));
  });
  after(() => rm(folder, { recursive: true }));
  beforeEach(async () => {
    database = await createTestDatabase('empty');
  });
  afterEach(() => database.drop());

  /** This package's migrations, read from files in another form. */
  async function readAs(change: (text: string) => string) {
    const source = packageFile('migrations/');
    for (const file of await readdir(source))
      await writeFile(join(folder, file), change(await readFile(new URL(file, source), 'utf8')));
    return readMigrations(pathToFileURL(`${folder}/`));
  }

  for (const [name, change] of FORMS) {
    it(`are the same for files with ${name}, which create the same schema`, async () => {
      await migrate(database.pool, await readAs(change));
      await checkSchema(database.pool);
      const [send] = await rows<{ source: string }>(
        database.pool,
        "select prosrc as source from pg_proc where proname = 'send' and pronamespace = 'inbox'::regnamespace",
      );
      assert.ok(!send!.source.includes('\r'));
      assert.deepEqual((await migrate(database.pool)).applied, []);
    });

    it(`match when an earlier release recorded those of files with ${name}`, async () => {
      const known = await readMigrations();
      await migrate(database.pool, known);
      for (const { version, sql } of known) {
        const recorded = createHash('sha256').update(change(sql)).digest('hex');
        await database.pool.query('update inbox.migrations set checksum = $2 where version = $1', [
          version,
          recorded,
        ]);
      }
      await checkSchema(database.pool);
      for (const [, asFile] of FORMS)
        assert.deepEqual(
          compareSchema(await readAs(asFile), await appliedMigrations(database.pool)).missing,
          [],
        );
    });
  }

  it('differ for an edited file', async () => {
    await migrate(database.pool);
    for (const edit of [
      (text: string) => `${text} `,
      (text: string) => text.replaceAll('\n', '\n\n'),
      (text: string) => `${text}\n`,
    ]) {
      const edited = await readAs((text) => withCarriageReturns(edit(text)));
      await assert.rejects(
        migrate(database.pool, edited),
        /0001_inbox\.sql is not the file that was applied/,
      );
    }
  });
});
