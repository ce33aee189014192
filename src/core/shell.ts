/**
 * Command lines that people copy into a POSIX shell.
 *
 * @module
 */
import { makeVisible } from './text.ts';

/** Words that mean themselves in every shell. */
const PLAIN = /^[A-Za-z0-9_.:@/+,%][A-Za-z0-9_.:@/+=,%-]*$/;
const LETTERS_AND_ASCII = /^[\u0020-\u007e\p{L}\p{M}\p{N}]*$/u;
/** Temporal's Web UI puts the workflow's own values in the place of `{workflowId}` and its like. */
const PLACEHOLDER = /\{\w+\}/;
/** The Web UI shows several spaces as one. */
const LOST_SPACE = /^ | {2}| $/;

/**
 * The text as one word of a POSIX shell: as it is, or in single quotes. Null for unusual texts, which people had better not
 * paste: those that begin with a hyphen and could be read as an option, and those with control characters, line breaks, two
 * spaces in a row, invisible characters, look-alikes, symbols beyond ASCII, placeholders such as `{workflowId}`, or backticks,
 * which would end the code span of a Markdown text.
 */
export function shellWord(text: string): string | null {
  if (PLAIN.test(text)) return text;
  const isUnusual =
    text === '' ||
    text.startsWith('-') ||
    text.includes('`') ||
    PLACEHOLDER.test(text) ||
    LOST_SPACE.test(text) ||
    !LETTERS_AND_ASCII.test(text) ||
    makeVisible(text) !== text;
  return isUnusual ? null : quoteForShell(text);
}

/** One word of a POSIX shell, whatever is in the text. */
export function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/**
 * A command line with texts from outside in it; null when one of them is unusual.
 *
 * @example
 * shellCommand`inbox show ${messageId}`
 */
export function shellCommand(parts: TemplateStringsArray, ...values: readonly string[]): string | null {
  const words = values.map((value) => shellWord(value));
  if (words.includes(null)) return null;
  return parts.map((part, index) => part + (words[index] ?? '')).join('');
}

/** In the place of a command that is not printed. */
export const NO_COMMAND =
  'no command is printed, because the id has characters that a shell or a reader could take for something else';
