/**
 * Reads SQL as far as it takes to see whether a statement in it begins or ends a transaction.
 *
 * @module
 */

/** What does not begin a word: spaces, comments, quoted text, signs. Sticky, so that a long text is read once. */
const SPACE = /(?:\s|--[^\n\r]*)+/y;
const DOLLAR_QUOTE = /\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/iy;
const WORD = /[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/iy;

/** A COMMIT that is the end of a nested transaction, and so on, each as the only statement of its text. */
export type TransactionStatement =
  /** `unsupported`: what it asks for and a savepoint cannot be, such as `serializable`. */
  | { kind: 'begin'; unsupported: string | null }
  | { kind: 'commit' }
  | { kind: 'rollback' }
  /** It would end the transaction, whatever was begun before. */
  | { kind: 'ending'; what: string };

/** Enough for BEGIN with every clause. */
const MAX_WORDS = 16;

const ENDING =
  /^(?:(?:commit|end|abort|prepare transaction)(?= |$)|rollback(?= |$)(?! (?:(?:work|transaction) )?to(?: |$)))/;
const BEGIN = /^(?:begin(?: work| transaction)?|start transaction)(?= |$)/;
const COMMIT = /^(?:commit|end)(?: work| transaction)?(?: and no chain)?$/;
const ROLLBACK = /^(?:rollback|abort)(?: work| transaction)?(?: and no chain)?$/;
/** What the attempt's transaction is anyway. In Postgres READ UNCOMMITTED is READ COMMITTED. */
const HONORED = / isolation level read (?:un)?committed| read write| (?:not )?deferrable/g;

/**
 * Whether one of the statements in the text is COMMIT, END, ROLLBACK (but TO a savepoint), ABORT or PREPARE TRANSACTION. The
 * END of a function's BEGIN ATOMIC is taken for one, too.
 */
export function endsTransaction(sql: string): boolean {
  return beginnings(sql).some((words) => ENDING.test(words));
}

/** How the text begins or ends a transaction; null where it does neither, as nearly every text. */
export function transactionStatement(sql: string): TransactionStatement | null {
  if (!/begin|start|commit|end|rollback|abort|prepare/i.test(sql)) return null;
  const statements = beginnings(sql);
  const found = statements.find((words) => ENDING.test(words) || BEGIN.test(words));
  if (found === undefined) return null;
  const what = found.toUpperCase().slice(0, 60);
  if (statements.length > 1) return { kind: 'ending', what: `${what} among other statements` };
  if (COMMIT.test(found)) return { kind: 'commit' };
  if (ROLLBACK.test(found)) return { kind: 'rollback' };
  if (!BEGIN.test(found)) return { kind: 'ending', what };
  const clauses = found.replace(BEGIN, '').replace(HONORED, '').trim();
  return { kind: 'begin', unsupported: clauses === '' ? null : clauses.replace(/^isolation level /, '') };
}

/** The first words of each statement, in lower case and with single spaces. */
function beginnings(sql: string): string[] {
  const found: string[] = [];
  let words: string[] = [];
  let begun = false;
  let inBeginning = true;
  const endStatement = () => {
    if (begun) found.push(words.join(' '));
    words = [];
    begun = false;
    inBeginning = true;
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
      begun = true;
      const word = /^e'/i.test(sql.slice(at, at + 2)) ? null : match(WORD, sql, at);
      if (word === null) {
        // The clauses of BEGIN may have commas between them.
        if (sql[at] !== ',') inBeginning = false;
        at = afterSign(sql, at);
      } else {
        if (inBeginning && words.length < MAX_WORDS) words.push(word.toLowerCase());
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
