/**
 * Properties of the terminal: its width, its colors, and how wide a text is on it.
 *
 * @module
 */
import picocolors from 'picocolors';
import stringWidth from 'string-width';

/** How to show text on one stream. */
export interface View {
  /** In terminal columns; null for pipes and files, where nothing is cut or wrapped. */
  width: number | null;
  colors: Colors;
}

export type Colors = ReturnType<typeof picocolors.createColors>;
export type Paint = 'red' | 'yellow' | 'green' | 'cyan' | 'bold' | 'dim';

type Output = Pick<NodeJS.WriteStream, 'isTTY' | 'columns'>;
type Environment = Record<string, string | undefined>;

/** For terminals that report no width, such as a serial line or `script` in a cron job. */
const USUAL_WIDTH = 80;
const NARROWEST = 20;

/** Reads the terminal and the environment on every call, because a window can be resized. */
export function viewOf(stream: Output = process.stdout, env: Environment = process.env): View {
  return {
    width: stream.isTTY ? Math.max(NARROWEST, stream.columns || USUAL_WIDTH) : null,
    colors: picocolors.createColors(wantsColors(stream, env)),
  };
}

/**
 * FORCE_COLOR has precedence (0 and false turn colors off), then NO_COLOR and TERM=dumb, then whether the stream is a
 * terminal. Node uses the same order.
 */
export function wantsColors(stream: Output, env: Environment = process.env): boolean {
  const { FORCE_COLOR: force, NO_COLOR: none, TERM: term } = env;
  if (force !== undefined && force !== '') return force !== '0' && force !== 'false';
  if (none !== undefined && none !== '') return false;
  return stream.isTTY && term !== 'dumb';
}

/** Returns true if a line can be redrawn in place, which a progress bar needs. */
export function canRedraw(stream: Output, env: Environment = process.env): boolean {
  return stream.isTTY && env['TERM'] !== 'dumb';
}

/** Width in columns: 2 for most CJK characters and emoji, 0 for combining marks. */
export function widthOf(text: string): number {
  return stringWidth(text);
}

export function padTo(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)));
}

/** Cuts a text to this width, and marks the cut with `…`. Never cuts inside a grapheme. */
export function cutTo(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  return `${takeWidth(text, width - 1)}…`;
}

/**
 * Wraps a text between words. A word that is wider than a line is broken. Every line gets the indentation of the text.
 */
export function wrapTo(text: string, width: number): string[] {
  if (widthOf(text) <= width) return [text];
  const indent = /^ */.exec(text)![0].slice(0, width >> 1);
  return wrapWords(text.trimStart(), width - indent.length).map((line) => indent + line);
}

function wrapWords(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    let rest = word;
    if (line !== '' && widthOf(line) + 1 + widthOf(rest) <= width) {
      line += ` ${rest}`;
      continue;
    }
    if (line !== '') lines.push(line);
    while (widthOf(rest) > width) {
      // Take at least one character, even if it is wider than the line.
      const part = takeWidth(rest, width) || takeWidth(rest, 2);
      lines.push(part);
      rest = rest.slice(part.length);
    }
    line = rest;
  }
  return [...lines, line];
}

const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

function takeWidth(text: string, width: number): string {
  let taken = '';
  let used = 0;
  for (const { segment } of segmenter.segment(text)) {
    used += widthOf(segment);
    if (used > width) break;
    taken += segment;
  }
  return taken;
}
