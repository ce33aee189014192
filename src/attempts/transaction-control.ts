/**
 * Reads just enough SQL to find out whether one of its statements begins or ends a transaction.
 *
 * @module
 */

/** White space and line comments. Like the other patterns it is sticky, so that a long text is read only once. */
const SPACE = /(?:\s|--[^\n\r]*)+/y;
const DOLLAR_QUOTE = /\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/iy;
const WORD = /[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/iy;

/** A statement that begins or ends a nested transaction, if it is the only statement of its text; otherwise `ending`. */
export type TransactionStatement =
  /** `unsupported`: the clauses that a savepoint cannot provide, such as `serializable`; null if there are none. */
  | { kind: 'begin'; unsupported: string | null }
  | { kind: 'commit' }
  | { kind: 'rollback' }
  /** Would end the attempt's transaction, even inside a nested one. */
  | { kind: 'ending'; what: string };

/** Enough for BEGIN with every clause. */
const MAX_WORDS = 16;

const ENDING =
  /^(?:(?:commit|end|abort|prepare transaction)(?= |$)|rollback(?= |$)(?! (?:(?:work|transaction) )?to(?: |$)))/;
const BEGIN = /^(?:begin(?: work| transaction)?|start transaction)(?= |$)/;
const COMMIT = /^(?:commit|end)(?: work| transaction)?(?: and no chain)?$/;
const ROLLBACK = /^(?:rollback|abort)(?: work| transaction)?(?: and no chain)?$/;
/** Clauses that the attempt's transaction satisfies anyway. In Postgres READ UNCOMMITTED is READ COMMITTED. */
const SATISFIED_CLAUSES = / isolation level read (?:un)?committed| read write| (?:not )?deferrable/g;

/**
 * Returns true if one of the statements in the text is COMMIT, END, ROLLBACK (but not ROLLBACK TO a savepoint), ABORT or
 * PREPARE TRANSACTION. Also true for the END of a function body that starts with BEGIN ATOMIC.
 */
export function endsTransaction(sql: string): boolean {
  return leadingWords(sql).some((words) => ENDING.test(words));
}

/** Returns how the text begins or ends a transaction; null if it does neither, like nearly every text. */
export function transactionStatement(sql: string): TransactionStatement | null {
  if (!/begin|start|commit|end|rollback|abort|prepare/i.test(sql)) return null;
  const statements = leadingWords(sql);
  const found = statements.find((words) => ENDING.test(words) || BEGIN.test(words));
  if (found === undefined) return null;
  const what = found.toUpperCase().slice(0, 60);
  if (statements.length > 1) return { kind: 'ending', what: `${what} among other statements` };
  if (COMMIT.test(found)) return { kind: 'commit' };
  if (ROLLBACK.test(found)) return { kind: 'rollback' };
  if (!BEGIN.test(found)) return { kind: 'ending', what };
  const clauses = found.replace(BEGIN, '').replace(SATISFIED_CLAUSES, '').trim();
  return { kind: 'begin', unsupported: clauses === '' ? null : clauses.replace(/^isolation level /, '') };
}

/** The first words of each statement, in lower case and separated by single spaces. */
function leadingWords(sql: string): string[] {
  const found: string[] = [];
  let words: string[] = [];
  let isStarted = false;
  let isLeading = true;
  const endStatement = () => {
    if (isStarted) found.push(words.join(' '));
    words = [];
    isStarted = false;
    isLeading = true;
  };
  for (let at = 0; at < sql.length;) {
    const space = match(SPACE, sql, at);
    if (space !== null) {
      at += space.length;
    } else if (sql.startsWith('/*', at)) {
      at = afterComment(sql, at);
    } else if (sql[at] === ';') {
      endStatement();
      at += 1;
    } else {
      isStarted = true;
      const word = /^e'/i.test(sql.slice(at, at + 2)) ? null : match(WORD, sql, at);
      if (word === null) {
        // The clauses of BEGIN may be separated by commas.
        if (sql[at] !== ',') isLeading = false;
        at = afterToken(sql, at);
      } else {
        if (isLeading && words.length < MAX_WORDS) words.push(word.toLowerCase());
        at += word.length;
      }
    }
  }
  endStatement();
  return found;
}

function match(pattern: RegExp, sql: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(sql)?.[0] ?? null;
}

/** Skips a block comment. In Postgres, block comments can be nested. */
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

/** Skips a quoted text or one character. A doubled quote ends one text and begins the next, which gives the same result. */
function afterToken(sql: string, at: number): number {
  const sign = sql[at]!;
  if (sign === "'" || sign === '"') return afterQuote(sql, sign, at + 1);
  if (sign === '$') {
    const quote = match(DOLLAR_QUOTE, sql, at);
    return quote === null ? at + 1 : afterQuote(sql, quote, at + quote.length);
  }
  return sign.toLowerCase() === 'e' ? afterEscaped(sql, at + 2) : at + 1;
}

function afterQuote(sql: string, quote: string, from: number): number {
  const end = sql.indexOf(quote, from);
  return end === -1 ? sql.length : end + quote.length;
}

/** Skips the rest of `E'…'`, where a backslash escapes the quote after it. */
function afterEscaped(sql: string, from: number): number {
  for (let at = from; at < sql.length; at += 1) {
    if (sql[at] === '\\') at += 1;
    else if (sql[at] === "'" && sql[at + 1] === "'") at += 1;
    else if (sql[at] === "'") return at + 1;
  }
  return sql.length;
}
