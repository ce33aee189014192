/**
 * Tables that fit the terminal. On pipes, each row is one line and nothing is cut.
 *
 * If a table is too wide, these steps are tried in order: times become ages and empty columns are omitted; the last column
 * is cut, wrapped, or moved to its own lines; the first column, which is an id, gets its own line; each row becomes a list
 * of names and values. Ids are never cut.
 *
 * @module
 */
import { age, printable } from './printable.ts';
import { cutTo, padTo, wrapTo, widthOf } from './terminal.ts';
import type { Paint, View } from './terminal.ts';

/**
 * How text in the last column is shown if it is too long: cut (`show` and `--json` show all of it), wrapped, or whole on its
 * own line.
 */
export type Fit = 'cut' | 'wrap' | 'whole';

export interface Column {
  head: string;
  /** Replaces the head when times are shown as ages. */
  short?: string;
  /** Only used for the last column. */
  fit?: Fit;
  paint?: (cell: string) => Paint | null;
}

interface Grid {
  columns: readonly Column[];
  rows: readonly (readonly string[])[];
  view: View;
}

interface Sheet {
  head: string;
  /** The lines of each row. */
  rows: string[][];
}

/** In less space than this, an error would be unreadable. */
const NARROWEST_CUT = 40;
const NARROWEST_WRAP = 40;
const INDENT = '    ';
const GAP = '  ';

/** Without rows, prints the head alone, which shows that nothing was found. */
export function layOut(head: readonly (string | Column)[], rows: readonly unknown[][], view: View): string {
  const columns = head.map((one) => (typeof one === 'string' ? { head: one } : one));
  const full: Grid = { columns, rows: rows.map((row) => row.map((cell) => printable(cell))), view };
  const { width } = view;
  if (width === null) return textOf(asTable(full));
  const sheet = asTableIn(full, width);
  if (sheet) return textOf(sheet);
  const compact = compacted(columns, rows, view);
  const narrow =
    asTableIn(compact, width) ?? withLastSeparate(compact, width) ?? withFirstSeparate(compact, width);
  return narrow ? textOf(narrow) : asRecords(compact, width);
}

function textOf({ head, rows }: Sheet): string {
  return [head, ...rows.flat()].join('\n');
}

/** Shows times as ages, and omits empty columns. */
function compacted(columns: readonly Column[], rows: readonly unknown[][], view: View): Grid {
  const cells = rows.map((row) => row.map((cell) => (cell instanceof Date ? age(cell) : printable(cell))));
  const isUsed = columns.map((_, at) => rows.length === 0 || cells.some((row) => row[at] !== ''));
  const heads = columns.map(({ short, ...column }, at) => ({
    ...column,
    head: short !== undefined && rows.some((row) => row[at] instanceof Date) ? short : column.head,
  }));
  return {
    columns: heads.filter((_, at) => isUsed[at]),
    rows: cells.map((row) => row.filter((_, at) => isUsed[at])),
    view,
  };
}

function asTable(grid: Grid): Sheet {
  const widths = widthsOf(grid);
  return { head: headLine(grid, widths), rows: grid.rows.map((row) => [rowLine(grid, widths, row)]) };
}

function asTableIn(grid: Grid, width: number): Sheet | null {
  return lineWidth(widthsOf(grid)) <= width ? asTable(grid) : null;
}

/** Cuts or wraps the last column, or moves it to its own lines. Null if the other columns alone are too wide. */
function withLastSeparate(grid: Grid, width: number): Sheet | null {
  const { columns, rows } = grid;
  const fit = columns.at(-1)?.fit;
  const others = widthsOf(grid).slice(0, -1);
  if (fit === undefined || others.length === 0 || lineWidth(others) > width) return null;
  const room = width - lineWidth([...others, 0]);
  const isBeside = fit !== 'whole' && room >= (fit === 'cut' ? NARROWEST_CUT : NARROWEST_WRAP);
  if (!isBeside) {
    return {
      head: headLine(grid, others),
      rows: rows.map((row) => withLinesBelow(grid, others, row, fit, width)),
    };
  }
  const widths = [...others, room];
  return {
    head: headLine(grid, widths),
    rows: rows.map((row) =>
      fitted(row.at(-1)!, fit, room).map((part, index) =>
        rowLine(grid, widths, row, [...row.slice(0, -1).map((cell) => (index === 0 ? cell : '')), part]),
      ),
    ),
  };
}

function withLinesBelow(
  grid: Grid,
  widths: number[],
  row: readonly string[],
  fit: Fit,
  width: number,
): string[] {
  const line = rowLine(grid, widths, row);
  const last = row.at(-1)!;
  const below = last === '' ? [] : fitted(last, fit, width - INDENT.length);
  const painted = below.map((part) => INDENT + paintedCell(grid, row, grid.columns.length - 1, part));
  return line === '' ? painted : [line, ...painted];
}

function fitted(text: string, fit: Fit, width: number): string[] {
  switch (fit) {
    case 'cut':
      return [cutTo(text, width)];
    case 'wrap':
      return wrapTo(text, width);
    case 'whole':
      return [text];
  }
}

/** Puts the first column above the others. Null if the others alone are too wide. */
function withFirstSeparate(grid: Grid, width: number): Sheet | null {
  const [first, ...columns] = grid.columns;
  if (!first || first.head === '' || columns.length === 0) return null;
  const others: Grid = { ...grid, columns, rows: grid.rows.map((row) => row.slice(1)) };
  const room = width - GAP.length;
  const below = asTableIn(others, room) ?? withLastSeparate(others, room);
  if (!below) return null;
  const id: Grid = { ...grid, columns: [first] };
  return {
    head: `${headLine(id, [0])}\n${GAP}${below.head}`,
    rows: below.rows.map((lines, index) => [
      rowLine(id, [0], grid.rows[index]!),
      ...lines.map((line) => GAP + line),
    ]),
  };
}

/** Prints one name and value per line, with an empty line between rows. */
function asRecords(grid: Grid, width: number): string {
  const { columns, rows, view } = grid;
  if (rows.length === 0) return wrapTo(columns.map(({ head }) => head).join(GAP), width).join('\n');
  const names = Math.max(...columns.map(({ head }) => widthOf(head)));
  const room = width - names - GAP.length;
  const linesOf = (row: readonly string[], at: number): string[] => {
    const { head, fit } = columns[at]!;
    const cell = row[at]!;
    if (cell === '') return [];
    const name = view.colors.bold(padTo(head, names));
    if (head === '') return wrapTo(cell, width).map((part) => paintedCell(grid, row, at, part));
    if (widthOf(cell) <= room) return [`${name}${GAP}${paintedCell(grid, row, at, cell)}`];
    // Keep ids in one piece so that they can be copied; the terminal wraps them if necessary.
    const parts = fit === undefined || fit === 'whole' ? [cell] : wrapTo(cell, width - INDENT.length);
    return [view.colors.bold(head), ...parts.map((part) => INDENT + paintedCell(grid, row, at, part))];
  };
  return rows.map((row) => columns.flatMap((_, at) => linesOf(row, at)).join('\n')).join('\n\n');
}

function headLine({ columns, view }: Grid, widths: readonly number[]): string {
  const text = widths
    .map((width, at) => padTo(columns[at]!.head, width))
    .join(GAP)
    .trimEnd();
  return text === '' ? '' : ` ${view.colors.bold(text)}`;
}

/** @param cells - what to print; by default the cells of the row */
function rowLine(
  grid: Grid,
  widths: readonly number[],
  row: readonly string[],
  cells: readonly string[] = row,
): string {
  const padded = widths.map((width, at) => {
    const cell = cells[at]!;
    const padding = ' '.repeat(Math.max(0, width - widthOf(cell)));
    return (cell === '' ? '' : paintedCell(grid, row, at, cell)) + padding;
  });
  return ` ${padded.join(GAP)}`.trimEnd();
}

/** The color depends on the whole cell, even if `text` is only a part of it. */
function paintedCell({ columns, view }: Grid, row: readonly string[], at: number, text: string): string {
  const paint = columns[at]!.paint?.(row[at]!);
  return paint ? view.colors[paint](text) : text;
}

function widthsOf({ columns, rows }: Grid): number[] {
  return columns.map(({ head }, at) =>
    rows.reduce((most, row) => Math.max(most, widthOf(row[at]!)), widthOf(head)),
  );
}

/** Includes the leading space of each line and the gaps between columns. */
function lineWidth(widths: readonly number[]): number {
  return 1 + widths.reduce((sum, width) => sum + width, 0) + GAP.length * Math.max(0, widths.length - 1);
}
