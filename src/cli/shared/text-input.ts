/**
 * Text from files and pipes, which is UTF-8 or refused: a byte that is replaced by U+FFFD is lost for good, and two ids
 * that differ only in such a byte would be one.
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

/** Of a line, and of a payload in a file: more than 1 MiB of payload can be in any way of writing it as JSON. */
export const MAX_TEXT_BYTES = 16 * 1_048_576;

const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

/** What begins like this is no text in UTF-8, and what to do with it. The first that fits counts. */
const FORMATS: [start: number[], what: string, todo: string][] = [
  [[0xff, 0xfe], 'is UTF-16 or UTF-32, not UTF-8', 'convert it: iconv -f UTF-16 -t UTF-8'],
  [[0xfe, 0xff], 'is UTF-16, not UTF-8', 'convert it: iconv -f UTF-16 -t UTF-8'],
  [[0x1f, 0x8b], 'is compressed with gzip', 'unpack it first: gzip -dc'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'is compressed with zstd', 'unpack it first: zstd -dc'],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'is compressed with xz', 'unpack it first: xz -dc'],
  [[0x42, 0x5a, 0x68], 'is compressed with bzip2', 'unpack it first: bzip2 -dc'],
  [[0x50, 0x4b, 0x03, 0x04], 'is a zip archive', 'unpack it first: unzip -p'],
];
/** UTF-16 without a mark: every other byte of what is ASCII is 0. JSON begins with ASCII. */
const UNMARKED_UTF16 = [
  [null, 0, null, 0],
  [0, null, 0, null],
];

/** What is wrong with a text that begins with these bytes, or null. */
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
 * @param field - what it is, for the error
 * @throws InvalidMessageError that says which byte is not UTF-8
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
 * Opened, and found to be something that can be read.
 *
 * @param option - which names it, for the error
 * @throws InvalidMessageError saying what is wrong with the path
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
  // Node reads nothing from it, and reports nothing.
  if (isFolder(0)) throw new InvalidMessageError(option, 'cannot be read: stdin is a directory');
  if (process.stdin.isTTY) note(`${option} - reads from this terminal; Ctrl-D ends it`);
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
 * The whole text of a file, or of stdin for `-`. A mark at its beginning is left out.
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
        throw new InvalidMessageError(option, `is too long: ${from} has more than ${MAX_TEXT_BYTES} bytes`);
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
