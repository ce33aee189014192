import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { codeBlock, inlineText, summaryLine } from '../../../src/core/markdown.ts';
import { makeVisible } from '../../../src/core/text.ts';
import { fc } from '../../support/random.ts';
import { renderLikeWebUi } from '../../support/web-ui.ts';

const WORKFLOW_ID = '```\n# [x](https://evil.example)';
const render = (markdown: string) => renderLikeWebUi(markdown, WORKFLOW_ID);
const html = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const HOSTILE = [
  '[fix it here](https://evil.example/)',
  '![](http://127.0.0.1:9/track.png)',
  '<img src=x onerror=alert(1)>',
  '**bold** _soft_ ~~gone~~ `code`',
  'see https://evil.example/a_b or www.evil.example or a@evil.example',
  'HTTPS://EVIL.EXAMPLE ftp://evil.example mailto:a@b.example xmpp:a@b.example',
  '# heading',
  '&lt;b&gt; &#60;',
  String.raw`back\slash \[x](y)`,
  '| a | b |',
  '[^1] [x] - [ ] $x$',
  '``` ` ``',
  '<https://evil.example>',
  'x\n{workflowId}\n\n[Fix it](https://evil.example)',
  'order-{namespace} {runId} {other}',
];
/** Without escaping, these texts become a list, a heading, a quote, a rule or code. */
const BEGINNINGS = [
  '- x',
  '+ x',
  '* x',
  '1. x',
  '2) x',
  '---',
  '# x',
  '> x',
  ': x',
  '= x',
  '| x |',
  '    x',
  '~~~',
  '+',
  '-',
  '7.',
];
/** Random texts of characters and strings with a meaning in Markdown. */
const markup = fc
  .array(
    fc.constantFrom(
      ...'\\`*_{}[]()<>#|~!&@$:.-+= \nab1'.split(''),
      'https://',
      '{workflowId}',
      'www.',
      'x.example',
      '](',
      '```',
      '&amp;',
      '\u200b',
    ),
    { maxLength: 14 },
  )
  .map((parts) => parts.join(''));

const folded = (text: string) => makeVisible(text.replace(/[\t\n\r ]+/g, ' ').trim());

function assertShownLiterally(text: string): void {
  assert.equal(render(`It is (${inlineText(text)}).`), `<p>It is (${html(folded(text))}).</p>`);
  const alone = folded(text);
  if (alone !== '') assert.equal(render(inlineText(text)), `<p>${html(alone)}</p>`);
}

function assertStaysInBlock(text: string): void {
  const lines = text.split(/\r?\n/).map((line) => makeVisible(line).replaceAll(/\{(?=\w+\})/g, '\\u007b'));
  assert.equal(
    render(`before\n\n${codeBlock(text)}\n\nafter`),
    `<p>before</p>\n<pre><code class="language-text">${html(lines.join('\n'))}\n</code></pre>\n<p>after</p>`,
  );
}

describe('untrusted text in Markdown', () => {
  for (const text of [...HOSTILE, ...BEGINNINGS]) {
    it(`is shown literally: ${JSON.stringify(text)}`, () => {
      assertShownLiterally(text);
      assertStaysInBlock(text);
    });
  }

  it('is shown literally, whatever it contains', () => {
    fc.assert(fc.property(markup, assertShownLiterally));
    fc.assert(fc.property(markup, assertStaysInBlock));
  });

  it('is not escaped without need, because some versions of the Web UI show summaries as plain text', () => {
    for (const text of [
      'transfer_funds: attempts 2 to 5, after Timeout',
      "it's (so) $5 & more! a@b.example - 1/2",
    ])
      assert.equal(inlineText(text), text);
  });

  it('may be a megabyte long', () => {
    for (const part of ['`a', '*_', '{workflowId}']) {
      assert.ok(codeBlock(part.repeat(300_000)).length > 300_000);
      assert.ok(Buffer.byteLength(summaryLine(part.repeat(300_000))) < 400);
    }
  });

  it('is cut to the length that Temporal accepts for a summary, but never within an escape', () => {
    for (const text of ['*'.repeat(400), '\u{1f4b8}'.repeat(200), '"'.repeat(300), 'x'.repeat(1_000)]) {
      const line = summaryLine(text);
      assert.ok(Buffer.byteLength(JSON.stringify(line)) <= 340, line);
      assert.match(line, /…$/);
      assert.match(render(`a ${line}`), /^<p>a (\*+|\u{1f4b8}+|(&quot;)+|x+)…<\/p>$/u);
    }
    assert.equal(summaryLine('TransferFunds: attempt 1'), 'TransferFunds: attempt 1');
  });
});
