import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LineSplitter } from '../../../src/cli/shared/line-splitter.ts';
import type { Line } from '../../../src/cli/shared/line-splitter.ts';
import { decodeUtf8, wrongFormat } from '../../../src/cli/shared/text-input.ts';

/** Feeds the input in chunks of `size` bytes. */
function split(input: Buffer | string, size: number, maxBytes?: number): Line[] {
  const bytes = Buffer.from(input as string);
  const splitter = new LineSplitter(maxBytes);
  const lines: Line[] = [];
  for (let at = 0; at < bytes.length; at += size) lines.push(...splitter.push(bytes.subarray(at, at + size)));
  return [...lines, ...splitter.end()];
}

const brief = (lines: Line[]) => lines.map(({ number, text, problem }) => [number, problem?.problem ?? text]);

describe('LineSplitter', () => {
  for (const size of [1, 2, 3, 5, 1_000]) {
    it(`splits only at newlines and counts blank lines, in chunks of ${size} bytes`, () => {
      const input = '\ufeff"a\u2028b\u2029c\u0085d\u000be"\r\n\r\n   \n"漢字"\n"x\\r"\r\n\ufeff"last"';
      assert.deepEqual(brief(split(input, size)), [
        [1, '"a\u2028b\u2029c\u0085d\u000be"'],
        [4, '"漢字"'],
        [5, '"x\\r"'],
        [6, '"last"'],
      ]);
    });

    it(`refuses only the lines that are too long or not UTF-8, in chunks of ${size} bytes`, () => {
      const input = Buffer.concat([
        Buffer.from('"ok"\n'),
        Buffer.from('"Jos\u00e9"\n', 'latin1'),
        Buffer.from(`"${'x'.repeat(40)}"\n"ok"\n`),
        // An incomplete character at the end of the input.
        Buffer.from('"漢').subarray(0, 3),
      ]);
      const lines = brief(split(input, size, 20));
      assert.deepEqual(lines[0], [1, '"ok"']);
      assert.match(String(lines[1]![1]), /not UTF-8: byte 5 is 0xE9.*iconv/);
      assert.deepEqual(lines[2], [3, 'is 42 bytes; the limit is 20']);
      assert.deepEqual(lines[3], [4, '"ok"']);
      assert.match(String(lines[4]![1]), /not UTF-8: byte 2 is 0xE6/);
      assert.equal(lines.length, 5);
    });
  }

  it('buffers nothing of a line that is too long', () => {
    const splitter = new LineSplitter(1_048_576);
    const chunk = Buffer.alloc(65_536, 0x78);
    const before = process.memoryUsage().arrayBuffers;
    // 640 MB in total. The first 20 chunks are separate copies, so that buffering them would be measured.
    for (let index = 0; index < 10_000; index += 1) {
      assert.deepEqual([...splitter.push(index < 20 ? Buffer.from(chunk) : chunk)], []);
    }
    assert.ok(process.memoryUsage().arrayBuffers - before < 8_000_000);
    assert.deepEqual(brief([...splitter.push(Buffer.from('\n1\n'))]), [
      [1, 'is 655360000 bytes; the limit is 1048576'],
      [2, '1'],
    ]);
  });

  it('refuses invalid bytes instead of replacing them with U+FFFD, and accepts a real U+FFFD', () => {
    assert.equal(decodeUtf8(Buffer.from('a\ufffdb'), 'it'), 'a\ufffdb');
    for (const bytes of [[0x80], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0x61, 0xff]]) {
      assert.throws(
        () => decodeUtf8(Buffer.from(bytes), 'it'),
        /^InvalidMessageError: it is not UTF-8: byte/,
      );
    }
  });
});

describe('wrongFormat', () => {
  const line = '{"messageId":"a"}\n';
  for (const [name, start, expected] of [
    ['UTF-16 with a byte order mark', Buffer.from(`\ufeff${line}`, 'utf16le'), /UTF-16.*iconv/],
    ['UTF-16 without a byte order mark', Buffer.from(line, 'utf16le'), /UTF-16.*iconv/],
    [
      'big-endian UTF-16 with a byte order mark',
      Buffer.from(`\ufeff${line}`, 'utf16le').swap16(),
      /UTF-16.*iconv/,
    ],
    ['big-endian UTF-16 without a byte order mark', Buffer.from(line, 'utf16le').swap16(), /UTF-16.*iconv/],
    ['gzip', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0]), /gzip -dc/],
    ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0]), /zstd -dc/],
  ] as const) {
    it(`recognizes ${name} and says how to convert it`, () => assert.match(wrongFormat(start)!, expected));
  }

  it('returns null for all other input', () => {
    for (const text of [line, `\ufeff${line}`, '', '1', '漢字', '\u0000\u0000\u0000\u0000']) {
      assert.equal(wrongFormat(Buffer.from(text)), null);
    }
  });
});
