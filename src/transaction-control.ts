/**
 * Reads SQL as far as it takes to see that a statement in it ends the transaction.
 *
 * @module
 */

/** What does not begin a word: spaces, comments, quoted text, signs. Sticky, so that a long text is read once. */
const SPACE = /(?:\s|--[^\n\r]*)+/y;
const DOLLAR_QUOTE = /\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/iy;
const WORD = /[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/iy;

const ENDING =
  /^(?:(?:commit|end|abort|prepare transaction)(?= |$)|rollback(?= |$)(?! (?:(?:work|transaction) )?to(?: |$)))/;

/**
 * Whether one of the statements in the text is COMMIT, END, ROLLBACK (but TO a savepoint), ABORT or PREPARE TRANSACTION. The
 * END of a function's BEGIN ATOMIC is taken for one, too.
 */
export function endsTransaction(sql: string): boolean {
  let beginning: string[] | null = [];
  for (let at = 0; at < sql.length;) {
    const space = match(SPACE, sql, at);
    if (space !== null) {
      at += space.length;
    } else if (sql.startsWith('/*', at)) {
      at = afterComment(sql, at);
    } else if (sql[at] === ';') {
      if (isEnding(beginning)) return true;
      beginning = [];
      at += 1;
    } else {
      const word = /^e'/i.test(sql.slice(at, at + 2)) ? null : match(WORD, sql, at);
      if (word === null) {
        if (isEnding(beginning)) return true;
        beginning = null;
        at = afterSign(sql, at);
      } else {
        // PREPARE TRANSACTION and ROLLBACK WORK TO need three.
        if (beginning && beginning.length < 3) beginning.push(word.toLowerCase());
        at += word.length;
      }
    }
  }
  return isEnding(beginning);
}

/** `words`: those at the beginning of a statement; null once something else came and was looked at. */
function isEnding(words: readonly string[] | null): boolean {
  return words !== null && ENDING.test(words.join(' '));
}

function match(pattern: RegExp, sql: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(sql)?.[0] ?? null;
}

/** Postgres's comments may have comments in them. */
function afterComment(sql: string, from: number): number {
  let depth = 0;
  for (let at = from; at < sql.length; at += 1) {
    const pair = sql.slice(at, at + 2);
    if (pair === '/*') depth += 1;
    else if (pair === '*/') depth -= 1;
    else continue;
    at += 1;
    if (depth === 0) return at + 1;
  }
  return sql.length;
}

/** A quoted text as a whole, or one character. A quote that is doubled in a text begins the next one, which is as well. */
function afterSign(sql: string, at: number): number {
  const sign = sql[at]!;
  if (sign === "'" || sign === '"') return after(sql, sign, at + 1);
  if (sign === '$') {
    const quote = match(DOLLAR_QUOTE, sql, at);
    return quote === null ? at + 1 : after(sql, quote, at + quote.length);
  }
  return sign.toLowerCase() === 'e' ? afterEscaped(sql, at + 2) : at + 1;
}

function after(sql: string, quote: string, from: number): number {
  const end = sql.indexOf(quote, from);
  return end === -1 ? sql.length : end + quote.length;
}

/** Of `E'…'`, where a backslash takes the meaning from the quote after it. */
function afterEscaped(sql: string, from: number): number {
  for (let at = from; at < sql.length; at += 1) {
    if (sql[at] === '\\') at += 1;
    else if (sql[at] === "'" && sql[at + 1] === "'") at += 1;
    else if (sql[at] === "'") return at + 1;
  }
  return sql.length;
}
