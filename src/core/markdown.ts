/**
 * Texts from outside in Markdown, as Temporal's Web UI renders the details and summaries of a workflow: they must show
 * themselves, and neither link to anything nor load anything.
 *
 * @module
 */
import { makeVisible } from './text.ts';

/**
 * Characters that have a meaning in CommonMark, or in gomarkdown with the extensions that Temporal's Web UI turns on: it makes
 * links of addresses, and typographic dashes and dots. No other characters are escaped, because some versions of the Web UI
 * show summaries as plain text, backslashes included.
 */
const MARKUP = new RegExp(
  [
    /[\\`*[\]<~{}]/u,
    // Within a word an underscore is ordinary.
    /(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/u,
    /&(?=[#\w])/u,
    /(?<=https?|ftp|mailto|xmpp|file):/u,
    /(?<=www)\./u,
    /(?<=-)-|(?<=\.)\./u,
    // At the beginning, where lists, headings, quotes and tables begin.
    /^[-+:=#>|]/u,
    /(?<=^\d+)[.)]/u,
  ]
    .map(({ source }) => source)
    .join('|'),
  'giu',
);

/** On one line, in a sentence or at its beginning. */
export function inlineText(text: string): string {
  return makeVisible(onOneLine(text)).replace(MARKUP, (sign) => `\\${sign}`);
}

/** A code block, with the lines of the text as they are. */
export function codeBlock(text: string): string {
  const lines = text
    .split(/\r\n|[\n\r]/)
    .map((line) => withoutPlaceholders(makeVisible(line.replaceAll('\t', '  '))));
  const block = lines.join('\n');
  let longest = 2;
  for (const [run] of block.matchAll(/`+/g)) longest = Math.max(longest, run.length);
  const fence = '`'.repeat(longest + 1);
  return `${fence}text\n${block}\n${fence}`;
}

function onOneLine(text: string): string {
  return text.replace(/[\t\n\r ]+/g, ' ').trim();
}

/** The Web UI puts the workflow's own values in the place of `{workflowId}` and its like, before it reads the Markdown. */
function withoutPlaceholders(text: string): string {
  return text.replaceAll(/\{(?=\w+\})/g, String.raw`\u007b`);
}

/**
 * Temporal refuses a summary whose encoded payload is longer than 400 bytes (`limit.userMetadataSummarySize`); the payload's own
 * metadata takes some 30 of them.
 */
const MAX_SUMMARY_BYTES = 340;

/** The longest text that could fit into a summary, in characters. */
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
