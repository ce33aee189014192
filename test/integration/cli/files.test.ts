/** Unusual input files: from Windows, compressed, in other encodings, very large, or missing. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import type { CliResult } from '../../support/cli.ts';
import { CLI_MAIN, runCli, startCli } from '../../support/cli.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { rows } from '../../support/inbox.ts';

const line = (messageId: string, payload: unknown = 1) =>
  JSON.stringify({ messageId, type: 'Note', payload });

describe('inbox send with files', () => {
  let database: TestDatabase;
  let folder: string;

  before(async () => {
    database = await createTestDatabase();
    folder = await mkdtemp(join(tmpdir(), 'inbox cli files '));
  });
  after(async () => {
    await rm(folder, { recursive: true });
    await database.drop();
  });

  const send = (args: readonly string[], input?: string | Buffer): Promise<CliResult> =>
    runCli(['send', ...args], { DATABASE_URL: database.url, TEMPORAL_ADDRESS: undefined }, input);
  const path = (name: string) => join(folder, name);
  async function sendFile(name: string, content: string | Buffer): Promise<CliResult> {
    await writeFile(path(name), content);
    return send(['--file', path(name)]);
  }
  const stored = async (prefix: string) =>
    (
      await rows<{ message_id: string; payload: unknown }>(
        database.pool,
        'select message_id, payload from inbox.entries where message_id like $1 order by message_id',
        [`${prefix}%`],
      )
    ).map(({ message_id, payload }) => [message_id, payload]);
  const oneLine = /^inbox: [^\n]+\n$/;

  it('ends lines only at newlines', async () => {
    const text = 'a\u2028b\u2029c\u0085d';
    const { code, stdout, stderr } = await sendFile(
      'u2028.ndjson',
      `${line('sep-1', { text })}\n${line('sep-2')}`,
    );
    assert.deepEqual([code, stdout, stderr], [0, '2 accepted, 0 duplicate, 0 refused\n', '']);
    assert.deepEqual(await stored('sep-'), [
      ['sep-1', { text }],
      ['sep-2', 1],
    ]);
  });

  it('reads a file from Windows: byte order mark, CRLF, blank lines, no newline at the end', async () => {
    const { code, stdout } = await sendFile(
      'bom.ndjson',
      `\ufeff${line('bom-1')}\r\n\r\n  \r\n${line('bom-2')}`,
    );
    assert.deepEqual([code, stdout], [0, '2 accepted, 0 duplicate, 0 refused\n']);
  });

  it('refuses lines that are not UTF-8, so that two ids never become one', async () => {
    const latin1 = Buffer.from(`${line('lat-é')}\n${line('lat-ok')}\n${line('lat-è')}\n`, 'latin1');
    const { code, stdout, stderr } = await sendFile('latin1.ndjson', latin1);
    assert.deepEqual([code, stdout], [1, '1 accepted, 0 duplicate, 2 refused\n']);
    assert.match(stderr, /^line 1 of .*latin1\.ndjson: the line is not UTF-8: byte \d+ is 0xE9.*iconv/);
    assert.match(stderr, /\nline 3 of .*latin1\.ndjson: .*0xE8/);
    assert.match(
      stderr,
      /\ninbox: 2 lines were refused; the others were sent \(1 accepted, 0 duplicate\)\. Correct/,
    );
    assert.deepEqual(await stored('lat-'), [['lat-ok', 1]]);
  });

  for (const [name, content, expected] of [
    [
      'utf16.ndjson',
      Buffer.from(`\ufeff${line('utf16')}\n`, 'utf16le'),
      /line 1 cannot be read: the input is UTF-16.*iconv/,
    ],
    [
      'lines.ndjson.gz',
      gzipSync(line('gzip')),
      /line 1 cannot be read: the input is compressed with gzip.*gzip -dc/,
    ],
  ] as const) {
    it(`refuses ${name} as a whole, and says how to convert it`, async () => {
      const { code, stdout, stderr } = await sendFile(name, content);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, expected);
      assert.match(stderr, new RegExp(name.replaceAll('.', '\\.')));
      assert.match(stderr, oneLine);
    });
  }

  it('refuses a very long line with bounded memory, and sends the lines after it', async () => {
    const file = createWriteStream(path('long.ndjson'));
    file.write(`${line('long-1')}\n`);
    const piece = Buffer.alloc(8_388_608, 0x78);
    for (let index = 0; index < 25; index += 1) if (!file.write(piece)) await once(file, 'drain');
    file.end(`\n${line('long-2')}\n`);
    await once(file, 'close');
    const { code, stdout, stderr } = await startCli(['send', '--file', path('long.ndjson')], {
      DATABASE_URL: database.url,
      // Less than half of the line.
      NODE_OPTIONS: '--max-old-space-size=80',
    }).result;
    await rm(path('long.ndjson'));
    assert.deepEqual([code, stdout], [1, '2 accepted, 0 duplicate, 1 refused\n'], stderr);
    assert.match(stderr, /^line 2 of .*: the line is 209715200 bytes; the limit is 16777216\n/);
  });

  it('refuses lines with NUL bytes, arrays or parts of pretty-printed JSON', async () => {
    const content = `${line('odd-1')}\n\u0000\u0000\u0000\n[${line('odd-2')}]\n{\n"a": 1\n}\n${line('odd-3')}\n`;
    const { code, stdout, stderr } = await sendFile('odd.ndjson', content);
    assert.deepEqual([code, stdout], [1, '2 accepted, 0 duplicate, 5 refused\n']);
    assert.match(stderr, /^line 2 of /);
    assert.match(stderr, /\nline 3 of .*not a JSON object.*jq -c/);
    assert.ok(!stderr.includes('\u0000'));
    assert.doesNotMatch(stderr, /\n\s+at /);
  });

  it('explains when a file is missing or a directory, and accepts an empty file', async () => {
    await mkdir(path('folder'));
    for (const [name, expected] of [
      ['missing.ndjson', /--file cannot be opened: ENOENT.*missing\.ndjson/],
      ['folder', /--file cannot be read: .*folder is a directory/],
    ] as const) {
      const { code, stdout, stderr } = await send(['--file', path(name)]);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, expected);
      assert.match(stderr, oneLine);
    }
    assert.deepEqual(await sendFile('empty.ndjson', ''), {
      code: 0,
      stdout: '0 accepted, 0 duplicate, 0 refused\n',
      stderr: '',
    });
  });

  it('reads a named pipe, and explains a closed stdin or a directory on stdin', async () => {
    await promisify(execFile)('mkfifo', [path('pipe')]);
    const reading = send(['--file', path('pipe')]);
    await writeFile(path('pipe'), `${line('fifo-1')}\n`);
    assert.equal((await reading).stdout, '1 accepted, 0 duplicate, 0 refused\n');

    for (const [redirection, expected] of [
      ['<&-', /^0 stdin was empty: nothing was sent\n0 accepted/],
      [`< '${folder}'`, /^1 inbox: --file cannot be read: stdin is a directory/],
    ] as const) {
      const script = `out=$('${process.execPath}' '${CLI_MAIN}' send --file - ${redirection} 2>&1); echo "$? $out"`;
      const child = spawn('sh', ['-c', script], { env: { ...process.env, DATABASE_URL: database.url } });
      let text = '';
      child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
      await once(child, 'close');
      assert.match(text, expected);
    }
  });

  it('says how far it got when the database connection is lost', async () => {
    await database.pool.query(`
      create function break_off() returns trigger language plpgsql as $$ begin
        if new.message_id = 'stop-3' then perform pg_terminate_backend(pg_backend_pid()); end if; return new; end $$`);
    await database.pool.query(
      'create trigger break_off before insert on inbox.entries for each row execute function break_off()',
    );
    const input = [1, 2, 3, 4].map((number) => line(`stop-${number}`)).join('\n');
    const { code, stdout, stderr } = await send(['--file', '-', '--concurrency', '1'], input);
    await database.pool.query('drop trigger break_off on inbox.entries');
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(
      stderr,
      /^sent up to line 2: 2 accepted, 0 duplicate, 0 refused\. Sending all of it again is safe/,
    );
    assert.match(stderr, /\ninbox: .*Postgres/);
    const again = await send(['--file', '-'], input);
    assert.equal(again.stdout, '2 accepted, 2 duplicate, 0 refused\n');
  });

  it('reads a payload that is too long for an argument from a file or stdin', async () => {
    const payload = { text: 'é'.repeat(200_000) };
    await writeFile(path('payload.json'), `\ufeff${JSON.stringify(payload, null, 2)}\n`);
    const file = await send(['Note', '--id', 'pay-1', '--payload', `@${path('payload.json')}`]);
    assert.deepEqual(file, { code: 0, stdout: 'pay-1 accepted\n', stderr: '' });
    const stdin = await send(['Note', '--id', 'pay-2', '--payload', '-'], JSON.stringify(payload));
    assert.deepEqual(stdin, { code: 0, stdout: 'pay-2 accepted\n', stderr: '' });
    assert.deepEqual(await stored('pay-'), [
      ['pay-1', payload],
      ['pay-2', payload],
    ]);
  });

  it('refuses a payload that cannot be read, or is not UTF-8 or not JSON', async () => {
    await writeFile(path('latin1.json'), Buffer.from('"é"', 'latin1'));
    await writeFile(path('utf16.json'), Buffer.from('\ufeff"é"', 'utf16le'));
    await writeFile(path('bad.json'), '{"a":');
    await writeFile(path('huge.json'), ' '.repeat(16_777_217));
    const cases = [
      [`@${path('missing.json')}`, /--payload cannot be opened: ENOENT.*missing\.json/],
      [`@${folder}`, /--payload cannot be read: .* is a directory/],
      [`@${path('latin1.json')}`, /--payload \(.*latin1\.json\) is not UTF-8: byte 2 is 0xE9/],
      [`@${path('utf16.json')}`, /--payload cannot be read: .*utf16\.json is UTF-16/],
      [`@${path('bad.json')}`, /--payload \(.*bad\.json\) is not JSON/],
      [`@${path('huge.json')}`, /--payload is too long: .*huge\.json is more than 16777216 bytes/],
      ['@', /--payload is not JSON/],
      ['-', /--payload \(stdin\) is not JSON/],
    ] as const;
    for (const [payload, expected] of cases) {
      const { code, stdout, stderr } = await send(['Note', '--id', 'bad', '--payload', payload], '');
      assert.deepEqual([code, stdout], [1, ''], payload);
      assert.match(stderr, expected);
      assert.match(stderr, oneLine);
    }
    assert.deepEqual(await stored('bad'), []);
  });
});
