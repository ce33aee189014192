/**
 * An SVG chart of the rates, with one bar per system and one section per group.
 *
 * @module
 */
import type { Case, Group } from './cases.ts';
import type { Results } from './report.ts';
import { TITLES } from './report.ts';
import { median } from './statistics.ts';

const WIDTH = 760;
const LABEL = 290;
const VALUE = 70;
const ROW = 26;
const TITLE = 40;
const MARGIN = 12;
/** Groups that are measured in commands per second. */
const PLOTTED: readonly Group[] = ['lanes', 'express', 'workers', 'history'];

interface Bar {
  label: string;
  rate: number;
  ours: boolean;
}

/** Draws the measured groups. Each group has its own scale, which starts at 0. */
export function renderPlot(cases: readonly Case[], results: Results): string {
  const groups = PLOTTED.flatMap((group) => {
    const bars = cases.filter((item) => item.group === group).flatMap((item) => barOf(item, results));
    return bars.length === 0 ? [] : [{ title: `${TITLES[group]}: commands per second`, bars }];
  });
  let top = MARGIN;
  const parts: string[] = [];
  for (const { title, bars } of groups) {
    parts.push(text(MARGIN, top + 20, title, 'font-weight="600"'));
    top += TITLE;
    const maximum = Math.max(...bars.map(({ rate }) => rate));
    for (const bar of bars.toSorted((a, b) => b.rate - a.rate)) {
      parts.push(draw(bar, maximum, top));
      top += ROW;
    }
    top += MARGIN;
  }
  // The chart has its own background, because the page may be dark.
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${top}" viewBox="0 0 ${WIDTH} ${top}" font-family="sans-serif" font-size="13" fill="#1f2328">
<rect width="100%" height="100%" fill="#ffffff"/>
${parts.join('\n')}
</svg>
`;
}

function barOf({ id, label, spec }: Case, results: Results): Bar[] {
  const rate = median((results.get(id) ?? []).map((measured) => measured.rate));
  return Number.isNaN(rate) ? [] : [{ label, rate, ours: spec.name.startsWith('temporal-inbox') }];
}

function draw({ label, rate, ours }: Bar, maximum: number, top: number): string {
  const length = ((WIDTH - LABEL - VALUE - 2 * MARGIN) * rate) / maximum;
  const left = MARGIN + LABEL;
  const middle = top + ROW / 2 + 4;
  return [
    text(left - 8, middle, label, 'text-anchor="end"'),
    `<rect x="${left}" y="${top + 4}" width="${length.toFixed(1)}" height="${ROW - 8}" fill="${ours ? '#0969da' : '#afb8c1'}"/>`,
    text(left + length + 6, middle, Math.round(rate).toLocaleString('en')),
  ].join('\n');
}

function text(x: number, y: number, words: string, more = ''): string {
  const escaped = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y}" ${more}>${escaped}</text>`;
}
