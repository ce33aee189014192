/**
 * Splits bytes into lines. A line ends only at \n or \r\n. Node's readline (since version 24) also ends lines at U+2028 and
 * U+2029, which JSON allows inside strings.
 *
 * @module
 */
import { InvalidMessageError } from '../../core/errors.ts';
import { decodeUtf8, MAX_TEXT_BYTES, withoutBom } from './text-input.ts';

/** A line that is not blank, or the reason why it cannot be read. */
export interface Line {
  /** Counted from 1, including blank lines. */
  number: number;
  text: string;
  /** Size in memory. */
  bytes: number;
  problem: InvalidMessageError | null;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Buffers at most one line, and nothing of a line that is too long. */
export class LineSplitter {
  #number = 1;
  #parts: Buffer[] = [];
  #length = 0;
  readonly #maxBytes: number;

  constructor(maxBytes = MAX_TEXT_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** Yields the lines that end in this chunk. */
  *push(chunk: Buffer): Generator<Line> {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      this.#add(chunk.subarray(from, end));
      yield* this.#finish();
      from = end + 1;
    }
    this.#add(chunk.subarray(from));
  }

  /** Yields the last line if it does not end with a newline. */
  *end(): Generator<Line> {
    if (this.#length > 0) yield* this.#finish();
  }

  #add(bytes: Buffer): void {
    this.#length += bytes.length;
    if (this.#length > this.#maxBytes) this.#parts = [];
    else if (bytes.length > 0) this.#parts.push(bytes);
  }

  *#finish(): Generator<Line> {
    const length = this.#length;
    const number = this.#number;
    const bytes = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#length = 0;
    this.#number += 1;
    if (length > this.#maxBytes) {
      yield refused(number, `is ${length} bytes; the limit is ${this.#maxBytes}`);
      return;
    }
    try {
      const content = bytes.at(-1) === RETURN ? bytes.subarray(0, -1) : bytes;
      // Concatenated files can have a byte order mark in the middle. JSON never begins with one, so removing it is safe.
      const text = decodeUtf8(withoutBom(content), 'the line');
      if (text.trim() !== '') yield { number, text, bytes: length, problem: null };
    } catch (error) {
      if (!(error instanceof InvalidMessageError)) throw error;
      yield { number, text: '', bytes: 0, problem: error };
    }
  }
}

function refused(number: number, problem: string): Line {
  return { number, text: '', bytes: 0, problem: new InvalidMessageError('the line', problem) };
}
