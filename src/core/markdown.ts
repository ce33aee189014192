/**
 * Escapes untrusted text for Markdown, as Temporal's Web UI renders it in the details and summaries of a workflow. The text
 * must be shown literally; it must not create links or load anything.
 *
 * @module
 */
import { makeVisible } from './text.ts';

/**
 * Characters with a meaning in CommonMark, or in gomarkdown with the extensions that Temporal's Web UI enables, which turn
 * addresses into links and replace dashes and dots with typographic ones. Only these are escaped, because some versions of
 * the Web UI show summaries as plain text, including the backslashes.
 */
const MARKUP = new RegExp(
  [
    /[\\`*[\]<~{}]/u,
    // Inside a word, an underscore has no meaning.
    /(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/u,
    /&(?=[#\w])/u,
    /(?<=https?|ftp|mailto|xmpp|file):/u,
    /(?<=www)\./u,
    /(?<=-)-|(?<=\.)\./u,
    // At the start, where lists, headings, quotes and tables begin.
    /^[-+:=#>|]/u,
    /(?<=^\d+)[.)]/u,
  ]
    .map(({ source }) => source)
    .join('|'),
  'giu',
);

/** Text on one line, inside a sentence or at its start. */
export function inlineText(text: string): string {
  return makeVisible(onOneLine(text)).replace(MARKUP, (sign) => `\\${sign}`);
}

/** A code block with the unchanged lines of the text. */
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

/**
 * Before it parses the Markdown, the Web UI replaces `{workflowId}` and similar placeholders with the workflow's own values.
 */
function withoutPlaceholders(text: string): string {
  return text.replaceAll(/\{(?=\w+\})/g, String.raw`\u007b`);
}

/**
 * Temporal refuses summaries whose encoded payload is longer than 400 bytes (`limit.userMetadataSummarySize`). About 30 of
 * these bytes are the payload's own metadata.
 */
const MAX_SUMMARY_BYTES = 340;

/** The longest text that can fit into a summary, in characters. */
const MAX_CHARACTERS = 400;

/** A summary: one line of Markdown that shows the text literally. Text that is too long for Temporal is cut with `…`. */
export function summaryLine(text: string): string {
  const characters = Array.from(text);
  let kept = Math.min(characters.length, MAX_CHARACTERS);
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
