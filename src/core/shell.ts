/**
 * Command lines that people paste into a POSIX shell.
 *
 * @module
 */
import { makeVisible } from './text.ts';

/** Words that need no quotes in any shell. */
const PLAIN = /^[A-Za-z0-9_.:@/+,%][A-Za-z0-9_.:@/+=,%-]*$/;
const LETTERS_AND_ASCII = /^[\u0020-\u007e\p{L}\p{M}\p{N}]*$/u;
/** Temporal's Web UI replaces `{workflowId}` and similar placeholders with the workflow's own values. */
const PLACEHOLDER = /\{\w+\}/;
/** The Web UI shows several spaces as one. */
const LOST_SPACE = /^ | {2}| $/;

/**
 * The text as one word of a POSIX shell, in single quotes if necessary. Null for unusual texts that nobody should paste:
 * those that start with a hyphen and could be read as an option, and those that contain control characters, line breaks, two
 * spaces in a row, invisible characters, look-alikes, symbols beyond ASCII, placeholders such as `{workflowId}`, or
 * backticks, which would end the code span in Markdown.
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

/** Any text as one word of a POSIX shell. */
export function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/**
 * A command line that contains untrusted texts. Null if one of them is unusual.
 *
 * @example
 * shellCommand`inbox show ${messageId}`
 */
export function shellCommand(parts: TemplateStringsArray, ...values: readonly string[]): string | null {
  const words = values.map((value) => shellWord(value));
  if (words.includes(null)) return null;
  return parts.map((part, index) => part + (words[index] ?? '')).join('');
}

/** Shown instead of a command that cannot be printed. */
export const NO_COMMAND =
  'no command is printed, because a shell or a reader could misread characters in the id';
