/**
 * Reads text from files and pipes. Text that is not UTF-8 is refused: replacing an invalid byte with U+FFFD would lose it,
 * and two ids that differ only in such a byte would become the same id.
 *
 * @module
 */
import { isUtf8 } from 'node:buffer';
import { fstatSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { messageOf } from '../../platform/error-message.ts';
import { InboxError, InvalidMessageError } from '../../core/errors.ts';
import { note } from './output.ts';

/** Limit for a line, and for a payload in a file. A payload of 1 MiB is smaller than this in any JSON notation. */
export const MAX_TEXT_BYTES = 16 * 1_048_576;

const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

/** First bytes of formats that are not UTF-8 text, and how to convert them. The first match counts. */
const FORMATS: [start: number[], what: string, remedy: string][] = [
  [[0xff, 0xfe], 'is UTF-16 or UTF-32, not UTF-8', 'convert it: iconv -f UTF-16 -t UTF-8'],
  [[0xfe, 0xff], 'is UTF-16, not UTF-8', 'convert it: iconv -f UTF-16 -t UTF-8'],
  [[0x1f, 0x8b], 'is compressed with gzip', 'unpack it first: gzip -dc'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'is compressed with zstd', 'unpack it first: zstd -dc'],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'is compressed with xz', 'unpack it first: xz -dc'],
  [[0x42, 0x5a, 0x68], 'is compressed with bzip2', 'unpack it first: bzip2 -dc'],
  [[0x50, 0x4b, 0x03, 0x04], 'is a zip archive', 'unpack it first: unzip -p'],
];
/** UTF-16 without a byte order mark. JSON begins with ASCII characters, so every other byte is 0. */
const UNMARKED_UTF16 = [
  [null, 0, null, 0],
  [0, null, 0, null],
];

/** Explains why input with these first bytes is not UTF-8 text. Returns null if it may be UTF-8. */
export function wrongFormat(start: Buffer): string | null {
  const found = FORMATS.find(([bytes]) => bytes.every((byte, at) => start[at] === byte));
  if (found) return `${found[1]}; ${found[2]}`;
  const isUtf16 = UNMARKED_UTF16.some((pattern) =>
    pattern.every((byte, at) => start.length > at && (byte === null ? start[at] !== 0 : start[at] === 0)),
  );
  return isUtf16 ? 'is UTF-16, not UTF-8; convert it: iconv -f UTF-16LE -t UTF-8, or UTF-16BE' : null;
}

export function withoutBom(bytes: Buffer): Buffer {
  return bytes.subarray(0, 3).equals(BOM) ? bytes.subarray(3) : bytes;
}

/**
 * @param field - names the text in the error
 * @throws InvalidMessageError, which says which byte is not UTF-8
 */
export function decodeUtf8(bytes: Buffer, field: string): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const again = Buffer.from(bytes.toString('utf8'));
  const at = bytes.findIndex((byte, index) => byte !== again[index]);
  const byte = bytes[at]!.toString(16).toUpperCase().padStart(2, '0');
  throw new InvalidMessageError(
    field,
    `is not UTF-8: byte ${at + 1} is 0x${byte}; convert it, for example: iconv -f ISO-8859-1 -t UTF-8`,
  );
}

/**
 * Opens a file, or stdin for `-`, and checks that it can be read.
 *
 * @param option - the option that names the path, for the error
 * @throws InvalidMessageError, which says what is wrong with the path
 */
export async function openInput(path: string, option: string): Promise<Readable> {
  if (path === '-') return standardInput(option);
  try {
    const file = await open(path);
    if ((await file.stat()).isDirectory()) {
      await file.close();
      throw new InvalidMessageError(option, `cannot be read: ${path} is a directory`);
    }
    return file.createReadStream({ highWaterMark: 262_144 });
  } catch (error) {
    if (error instanceof InboxError) throw error;
    throw new InvalidMessageError(option, `cannot be opened: ${messageOf(error)}`);
  }
}

function standardInput(option: string): Readable {
  // Node would read nothing from a directory, and report no error.
  if (isFolder(0)) throw new InvalidMessageError(option, 'cannot be read: stdin is a directory');
  if (process.stdin.isTTY) note(`${option} - reads from this terminal; press Ctrl-D to end the input`);
  return process.stdin;
}

function isFolder(fd: number): boolean {
  try {
    return fstatSync(fd).isDirectory();
  } catch {
    return false;
  }
}

/**
 * Reads the whole text of a file, or of stdin for `-`, without a byte order mark.
 *
 * @throws InvalidMessageError when it cannot be read, is too long or is not UTF-8
 */
export async function readText(path: string, option: string): Promise<string> {
  const input = await openInput(path, option);
  const chunks: Buffer[] = [];
  let length = 0;
  const from = path === '-' ? 'stdin' : path;
  try {
    for await (const chunk of input as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_TEXT_BYTES)
        throw new InvalidMessageError(option, `is too long: ${from} is more than ${MAX_TEXT_BYTES} bytes`);
    }
  } catch (error) {
    if (error instanceof InboxError) throw error;
    throw new InvalidMessageError(option, `cannot be read from ${from}: ${messageOf(error)}`);
  }
  const bytes = Buffer.concat(chunks);
  const wrong = wrongFormat(bytes);
  if (wrong !== null) throw new InvalidMessageError(option, `cannot be read: ${from} ${wrong}`);
  return decodeUtf8(withoutBom(bytes), `${option} (${from})`);
}
