/**
 * Bytes into lines. A line ends at \n, or \r\n, and nowhere else: JSON may have U+2028 and U+2029 inside of strings, where
 * Node's readline ends a line since version 24.
 *
 * @module
 */
import { InvalidMessageError } from '../../core/errors.ts';
import { decodeUtf8, MAX_TEXT_BYTES, withoutBom } from './text-input.ts';

/** A line that is not blank; or why it cannot be read. */
export interface Line {
  /** From 1, blank lines included. */
  number: number;
  text: string;
  /** Memory that it takes. */
  bytes: number;
  problem: InvalidMessageError | null;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Holds one line at most, and of one that is too long nothing. */
export class LineSplitter {
  #number = 1;
  #parts: Buffer[] = [];
  #length = 0;
  readonly #maxBytes: number;

  constructor(maxBytes = MAX_TEXT_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** The lines that end in this chunk. */
  *push(chunk: Buffer): Generator<Line> {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      this.#add(chunk.subarray(from, end));
      yield* this.#finish();
      from = end + 1;
    }
    this.#add(chunk.subarray(from));
  }

  /** The last line, where it does not end in a newline. */
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
      yield refused(number, `has ${length} bytes; at most ${this.#maxBytes} can be read`);
      return;
    }
    try {
      const content = bytes.at(-1) === RETURN ? bytes.subarray(0, -1) : bytes;
      // Files with a mark may have been joined, so that there is one in the middle, too. JSON cannot begin with it.
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
