import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LineSplitter } from '../../../src/cli/shared/line-splitter.ts';
import type { Line } from '../../../src/cli/shared/line-splitter.ts';
import { decodeUtf8, wrongFormat } from '../../../src/cli/shared/text-input.ts';

/** In pieces of this many bytes. */
function split(input: Buffer | string, size: number, maxBytes?: number): Line[] {
  const bytes = Buffer.from(input as string);
  const splitter = new LineSplitter(maxBytes);
  const lines: Line[] = [];
  for (let at = 0; at < bytes.length; at += size) lines.push(...splitter.push(bytes.subarray(at, at + size)));
  return [...lines, ...splitter.end()];
}

const brief = (lines: Line[]) => lines.map(({ number, text, problem }) => [number, problem?.problem ?? text]);

describe('lines', () => {
  for (const size of [1, 2, 3, 5, 1_000]) {
    it(`end at newlines only, and keep their numbers, in pieces of ${size}`, () => {
      const input = '\ufeff"a\u2028b\u2029c\u0085d\u000be"\r\n\r\n   \n"漢字"\n"x\\r"\r\n\ufeff"last"';
      assert.deepEqual(brief(split(input, size)), [
        [1, '"a\u2028b\u2029c\u0085d\u000be"'],
        [4, '"漢字"'],
        [5, '"x\\r"'],
        [6, '"last"'],
      ]);
    });

    it(`are refused one by one where they are not UTF-8 or too long, in pieces of ${size}`, () => {
      const input = Buffer.concat([
        Buffer.from('"ok"\n'),
        Buffer.from('"Jos\u00e9"\n', 'latin1'),
        Buffer.from(`"${'x'.repeat(40)}"\n"ok"\n`),
        // Half a character at the end of the input.
        Buffer.from('"漢').subarray(0, 3),
      ]);
      const lines = brief(split(input, size, 20));
      assert.deepEqual(lines[0], [1, '"ok"']);
      assert.match(String(lines[1]![1]), /not UTF-8: byte 5 is 0xE9.*iconv/);
      assert.deepEqual(lines[2], [3, 'has 42 bytes; at most 20 can be read']);
      assert.deepEqual(lines[3], [4, '"ok"']);
      assert.match(String(lines[4]![1]), /not UTF-8: byte 2 is 0xE6/);
      assert.equal(lines.length, 5);
    });
  }

  it('hold nothing of a line that is too long', () => {
    const splitter = new LineSplitter(1_048_576);
    const chunk = Buffer.alloc(65_536, 0x78);
    const before = process.memoryUsage().arrayBuffers;
    // 640 MB, of which each piece is a copy of its own.
    for (let index = 0; index < 10_000; index += 1) {
      assert.deepEqual([...splitter.push(index < 20 ? Buffer.from(chunk) : chunk)], []);
    }
    assert.ok(process.memoryUsage().arrayBuffers - before < 8_000_000);
    assert.deepEqual(brief([...splitter.push(Buffer.from('\n1\n'))]), [
      [1, 'has 655360000 bytes; at most 1048576 can be read'],
      [2, '1'],
    ]);
  });

  it('do not turn a byte into U+FFFD, and take U+FFFD where it is meant', () => {
    assert.equal(decodeUtf8(Buffer.from('a\ufffdb'), 'it'), 'a\ufffdb');
    for (const bytes of [[0x80], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0x61, 0xff]]) {
      assert.throws(
        () => decodeUtf8(Buffer.from(bytes), 'it'),
        /^InvalidMessageError: it is not UTF-8: byte/,
      );
    }
  });
});

describe('the format of an input', () => {
  const line = '{"messageId":"a"}\n';
  for (const [name, start, says] of [
    ['UTF-16 with a mark', Buffer.from(`\ufeff${line}`, 'utf16le'), /UTF-16.*iconv/],
    ['UTF-16 without', Buffer.from(line, 'utf16le'), /UTF-16.*iconv/],
    ['big-endian UTF-16', Buffer.from(`\ufeff${line}`, 'utf16le').swap16(), /UTF-16.*iconv/],
    ['big-endian UTF-16 without a mark', Buffer.from(line, 'utf16le').swap16(), /UTF-16.*iconv/],
    ['gzip', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0]), /gzip -dc/],
    ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0]), /zstd -dc/],
  ] as const) {
    it(`is refused with what to do: ${name}`, () => assert.match(wrongFormat(start)!, says));
  }

  it('is text in all other cases', () => {
    for (const text of [line, `\ufeff${line}`, '', '1', '漢字', '\u0000\u0000\u0000\u0000']) {
      assert.equal(wrongFormat(Buffer.from(text)), null);
    }
  });
});
