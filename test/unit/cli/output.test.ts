import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { age, cut, printable, printFields, printJson, printTable } from '../../../src/cli/shared/output.ts';
import { createLog } from '../../../src/platform/log.ts';

/** Characters that break a line, move the cursor, change colors, or change the text direction on a terminal. */
const DANGEROUS = [
  '\u001b[31mred\u001b[0m',
  '\u001b]0;title\u0007',
  '\u009b2J',
  '\rover',
  '\b\b',
  '\u0000',
  '\u007f',
  '\u202egnp.exe',
  '\u2066x\u2069',
  '\ud800',
  // Invisible characters, which make two different ids look the same.
  'a\u200bb',
  'a\u200cb',
  'a\u200db',
  'a\u2060b',
  'a\u00adb',
  'a\ufeffb',
  'a\u034fb',
  'a\u3164b',
  'a\u2800b',
  'a\u2028b',
  'a\ufe0fb',
  'a\u{e0041}b',
  '1\ufe0f',
];
const CONTROL =
  // eslint-disable-next-line no-control-regex
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ud800-\udfff\u2060\u00ad\ufeff\u3164\u2800\u2028]|\u200b|\u200c|\u200d|\u034f|\ufe0f/;

/** Returns what `work` writes to stdout. */
function captureStdout(work: () => void): string {
  let text = '';
  const write = mock.method(process.stdout, 'write', (chunk: string) => {
    text += chunk;
    return true;
  });
  try {
    work();
  } finally {
    write.mock.restore();
  }
  return text;
}

describe('terminal output', () => {
  for (const text of DANGEROUS) {
    it(`escapes ${JSON.stringify(text)} in tables and fields`, () => {
      assert.doesNotMatch(printable(text), CONTROL);
      assert.doesNotMatch(printable({ [text]: [text] }), CONTROL);
      assert.doesNotMatch(
        captureStdout(() => printTable(['ERROR'], [[text], [{ text }]])),
        CONTROL,
      );
      assert.doesNotMatch(
        captureStdout(() => printFields([['error', text]])),
        CONTROL,
      );
    });

    it(`escapes ${JSON.stringify(text)} in JSON, without changing its value`, () => {
      const json = captureStdout(() => printJson({ [text]: text }));
      assert.doesNotMatch(json, CONTROL);
      assert.deepEqual(JSON.parse(json), { [text]: text });
    });

    it(`logs ${JSON.stringify(text)} on one line, escaped`, () => {
      const lines: string[] = [];
      createLog('info', (line) => lines.push(line)).error('failed', { errorType: text });
      assert.equal(lines.length, 1);
      assert.doesNotMatch(lines[0]!, CONTROL);
    });
  }

  it('logs a message or a key with a line break on one line', () => {
    const lines: string[] = [];
    const log = createLog('info', (line) => lines.push(line));
    log.info('done\n2026-01-01T00:00:00Z ERROR forged \u001b[31m', { 'key\nx': 1 });
    assert.equal(lines.length, 1);
    assert.doesNotMatch(lines[0]!, CONTROL);
    assert.match(lines[0]!, /done\\u000a2026.* forged \\u001b\[31m key\\u000ax=1$/);
  });

  it('prints each row on one line', () => {
    assert.equal(printable('a\nb\tc'), 'a b c');
    const table = captureStdout(() => printTable(['ID', 'ERROR'], [['m-1', 'first\nsecond']]));
    assert.equal(table.trimEnd().split('\n').length, 2);
  });

  it('does not change ordinary text in any language', () => {
    assert.equal(printable('Grüße, שלום, 😀, ½'), 'Grüße, שלום, 😀, ½');
    for (const emoji of ['👩‍💻', '👨‍👩‍👧', '🏳️‍🌈', '☎️', '1️⃣', '🤷🏽‍♀️', '🇩🇪', 'e\u0301', '漢字', 'नि']) {
      assert.equal(printable(emoji), emoji);
    }
  });

  it('prints null as an empty string, a time as ISO 8601, and other values as JSON', () => {
    assert.equal(printable(null), '');
    assert.equal(printable(undefined), '');
    assert.equal(printable(new Date(0)), '1970-01-01T00:00:00.000Z');
    assert.equal(printable({ a: [1, null] }), '{"a":[1,null]}');
    assert.equal(printable(17), '17');
  });

  it('omits fields without a value, but prints false and 0', () => {
    const fields = captureStdout(() =>
      printFields([
        ['id', 'm-1'],
        ['error', null],
        ['attempts', 0],
        ['open', false],
      ]),
    );
    assert.equal(fields, 'id        m-1\nattempts  0\nopen      false\n');
  });

  it('prints the head of an empty table', () => {
    assert.match(
      captureStdout(() => printTable(['MESSAGE ID', 'STATUS'], [])),
      /MESSAGE ID +STATUS/,
    );
  });

  it('cuts long text for a table', () => {
    assert.equal(cut(null, 5), '');
    assert.equal(cut('12345', 5), '12345');
    assert.equal(cut('123456', 5), '1234…');
  });

  for (const [seconds, text] of [
    [-5, '0s'],
    [0, '0s'],
    [119, '119s'],
    [120, '2m'],
    [7_199, '120m'],
    [7_200, '2h'],
    [172_800, '2d'],
  ] as const) {
    it(`prints ${text} for ${seconds} seconds`, () => {
      const now = new Date('2026-01-01T00:00:00Z');
      assert.equal(age(new Date(now.getTime() - seconds * 1_000), now), text);
    });
  }
});
