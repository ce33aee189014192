/**
 * Tables that fit the terminal. On pipes every row is one line and nothing is cut.
 *
 * Where a table is too wide, times become ages and empty columns are left out. Then its last column is cut or wrapped, or gets
 * lines of its own. Ids are never cut: where they do not fit either, each row becomes a list of names and values.
 *
 * @module
 */
import { age, printable } from './printable.ts';
import { cutTo, padTo, wrapTo, widthOf } from './terminal.ts';
import type { Paint, View } from './terminal.ts';

export interface Column {
  head: string;
  /** Instead of the head where times are shown as ages. */
  short?: string;
  /** Of the last column alone: whether long text is cut, because `show` and `--json` have it all, or wrapped. */
  fit?: 'cut' | 'wrap';
  paint?: (cell: string) => Paint | null;
}

/** Less room than this would show nothing of an error. */
const NARROWEST_CUT = 30;
const NARROWEST_WRAP = 20;
const INDENT = '    ';
const GAP = '  ';

/** Nothing but the head for no rows, so that the answer is visibly none. */
export function layOut(head: readonly (string | Column)[], rows: readonly unknown[][], view: View): string {
  const columns = head.map((one) => (typeof one === 'string' ? { head: one } : one));
  const full = new Sheet(
    columns,
    rows.map((row) => row.map((cell) => printable(cell))),
    view,
  );
  if (view.width === null || full.width() <= view.width) return full.asTable();
  const compact = compacted(columns, rows, view);
  if (compact.width() <= view.width) return compact.asTable();
  return compact.narrowed(view.width) ?? compact.asRecords(view.width);
}

function compacted(columns: readonly Column[], rows: readonly unknown[][], view: View): Sheet {
  const cells = rows.map((row) => row.map((cell) => (cell instanceof Date ? age(cell) : printable(cell))));
  const used = columns.map((_, at) => rows.length === 0 || cells.some((row) => row[at] !== ''));
  const heads = columns.map(({ short, ...column }, at) => ({
    ...column,
    head: short !== undefined && rows.some((row) => row[at] instanceof Date) ? short : column.head,
  }));
  return new Sheet(
    heads.filter((_, at) => used[at]),
    cells.map((row) => row.filter((_, at) => used[at])),
    view,
  );
}

class Sheet {
  readonly #columns: readonly Column[];
  readonly #rows: readonly string[][];
  readonly #view: View;

  constructor(columns: readonly Column[], rows: readonly string[][], view: View) {
    this.#columns = columns;
    this.#rows = rows;
    this.#view = view;
  }

  width(): number {
    return lineWidth(this.#widths());
  }

  asTable(): string {
    return this.#lines(this.#widths(), (row) => [row]);
  }

  /** With its last column cut, wrapped, or on lines of its own; null where the others alone are too wide. */
  narrowed(width: number): string | null {
    const fit = this.#columns.at(-1)?.fit;
    const others = this.#widths().slice(0, -1);
    if (fit === undefined || lineWidth(others) > width) return null;
    const room = width - lineWidth([...others, 0]);
    if (room < (fit === 'cut' ? NARROWEST_CUT : NARROWEST_WRAP))
      return this.#withOwnLines(others, width, fit);
    const parts = (text: string) => (fit === 'cut' ? [cutTo(text, room)] : wrapTo(text, room));
    return this.#lines([...others, room], (row) =>
      parts(row.at(-1)!).map((part, index) => [
        ...row.slice(0, -1).map((cell) => (index === 0 ? cell : '')),
        part,
      ]),
    );
  }

  #withOwnLines(others: number[], width: number, fit: 'cut' | 'wrap'): string {
    const room = width - INDENT.length;
    const out = [this.#head(others)];
    for (const row of this.#rows) {
      if (row.slice(0, -1).some((cell) => cell !== '')) out.push(this.#line(row.slice(0, -1), others));
      const last = row.at(-1)!;
      if (last === '') continue;
      for (const part of fit === 'cut' ? [cutTo(last, room)] : wrapTo(last, room)) {
        out.push(INDENT + this.#painted(part, row, this.#columns.length - 1));
      }
    }
    return out.join('\n');
  }

  /** Names and values, one a line, with an empty line between two rows. */
  asRecords(width: number): string {
    if (this.#rows.length === 0)
      return wrapTo(this.#columns.map(({ head }) => head).join(GAP), width).join('\n');
    const names = Math.max(...this.#columns.map(({ head }) => widthOf(head)));
    const room = width - names - GAP.length;
    return this.#rows
      .map((row) =>
        this.#columns
          .flatMap(({ head, fit }, at) => {
            const cell = row[at]!;
            if (cell === '') return [];
            const name = this.#view.colors.bold(padTo(head, names));
            if (head === '' || widthOf(cell) <= room)
              return [`${name}${GAP}${this.#painted(cell, row, at)}`.trim()];
            // An id stays in one piece, to be copied; the terminal breaks it where it must.
            const parts = fit === undefined ? [cell] : wrapTo(cell, width - INDENT.length);
            return [name.trimEnd(), ...parts.map((part) => INDENT + this.#painted(part, row, at))];
          })
          .join('\n'),
      )
      .join('\n\n');
  }

  #lines(widths: number[], split: (row: string[]) => string[][]): string {
    const body = this.#rows.flatMap((row) => split(row).map((cells) => this.#line(cells, widths, row)));
    return [this.#head(widths), ...body].join('\n');
  }

  #head(widths: number[]): string {
    const text = widths
      .map((width, at) => padTo(this.#columns[at]!.head, width))
      .join(GAP)
      .trimEnd();
    return ` ${text === '' ? '' : this.#view.colors.bold(text)}`.trimEnd();
  }

  #line(cells: string[], widths: number[], row: string[] = cells): string {
    const padded = widths.map((width, at) => {
      const cell = cells[at]!;
      const padding = ' '.repeat(Math.max(0, width - widthOf(cell)));
      return (cell === '' ? '' : this.#painted(cell, row, at)) + padding;
    });
    return ` ${padded.join(GAP)}`.trimEnd();
  }

  #painted(text: string, row: string[], at: number): string {
    const paint = this.#columns[at]!.paint?.(row[at]!);
    return paint ? this.#view.colors[paint](text) : text;
  }

  #widths(): number[] {
    return this.#columns.map(({ head }, at) =>
      Math.max(widthOf(head), ...this.#rows.map((row) => widthOf(row[at]!))),
    );
  }
}

/** With the space at the beginning of each line, and two between columns. */
function lineWidth(widths: readonly number[]): number {
  return 1 + widths.reduce((sum, width) => sum + width, 0) + GAP.length * Math.max(0, widths.length - 1);
}
