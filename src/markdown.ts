/**
 * Texts from outside in Markdown, as Temporal's Web UI renders the details and summaries of a workflow: they must show
 * themselves, and neither link to anything nor load anything.
 *
 * @module
 */
import { makeVisible } from './text.ts';

/** What begins or ends something in CommonMark or in GitHub's extensions, bare addresses (`https:`, `www.`, `a@b`) included. */
const MARKUP = /[\\`*_{}[\]()<>#|~!&@$]|(?<=https?|ftp|mailto|xmpp):|(?<=www)\./gi;

/** On one line, in a sentence. */
export function inlineText(text: string): string {
  return makeVisible(text.replace(/\s+/g, ' ')).replace(MARKUP, (sign) => `\\${sign}`);
}

/** A code span on one line. */
export function codeSpan(text: string): string {
  const line = makeVisible(text.replace(/\s+/g, ' '));
  const fence = longerThan(line, 1);
  // A space at each end keeps a backtick of the text from joining the fence; the reader does not see them.
  return fence === '`' && line.trim() !== '' ? `\`${line}\`` : `${fence} ${line} ${fence}`;
}

/** A code block, with the lines of the text as they are. */
export function codeBlock(text: string): string {
  const lines = text.split(/\r\n|[\n\r\u2028\u2029]/).map((line) => makeVisible(line.replaceAll('\t', '  ')));
  const block = lines.join('\n');
  const fence = longerThan(block, 3);
  return `${fence}text\n${block}\n${fence}`;
}

function longerThan(text: string, minimum: number): string {
  const runs = [...text.matchAll(/`+/g)].map(([run]) => run.length);
  return '`'.repeat(Math.max(minimum, ...runs.map((length) => length + 1)));
}

/**
 * Temporal refuses a summary whose encoded payload is longer than 400 bytes (`limit.userMetadataSummarySize`); the payload's own
 * metadata takes some 30 of them.
 */
const MAX_SUMMARY_BYTES = 340;

/** Of a summary's text; no more than these can fit. */
const MOST_CHARACTERS = 400;

/** A summary: one line of Markdown that shows the text as it is, cut with `…` where Temporal would refuse it. */
export function summaryLine(text: string): string {
  const characters = Array.from(text);
  let kept = Math.min(characters.length, MOST_CHARACTERS);
  for (;;) {
    const isCut = kept < characters.length;
    const line = inlineText(characters.slice(0, kept).join('') + (isCut ? '…' : ''));
    if (encodedBytes(line) <= MAX_SUMMARY_BYTES) return line;
    kept = Math.floor(kept * 0.95);
  }
}

function encodedBytes(text: string): number {
  return new TextEncoder().encode(JSON.stringify(text)).length;
}
