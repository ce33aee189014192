import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { micromark } from 'micromark';
import { gfm, gfmHtml } from 'micromark-extension-gfm';
import { codeBlock, codeSpan, inlineText, summaryLine } from '../../src/markdown.ts';
import { makeVisible } from '../../src/text.ts';
import { fc } from '../support/random.ts';

/** As in Temporal's Web UI: CommonMark with GitHub's extensions. */
const render = (markdown: string) =>
  micromark(markdown, { extensions: [gfm()], htmlExtensions: [gfmHtml()] });
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
];
/** Made of what Markdown acts on. */
const markup = fc
  .array(
    fc.constantFrom(
      ...'\\`*_{}[]()<>#|~!&@$:.-+= \nab1'.split(''),
      'https://',
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

function showsItself(text: string): void {
  const shown = makeVisible(text.replace(/\s+/g, ' '));
  assert.equal(render(`It is (${inlineText(text)}).`), `<p>It is (${html(shown)}).</p>`);
}

describe('text from outside in Markdown', () => {
  for (const text of HOSTILE) {
    it(`shows itself in a sentence, and does nothing else: ${text}`, () => showsItself(text));
    it(`shows itself in a code span and in a code block: ${text}`, () => {
      assert.equal(render(codeSpan(text)), `<p><code>${html(text)}</code></p>`);
      const block = `before\n\n${codeBlock(`${text}\n\n${text}`)}\n\nafter`;
      assert.equal(
        render(block),
        `<p>before</p>\n<pre><code class="language-text">${html(text)}\n\n${html(text)}\n</code></pre>\n<p>after</p>`,
      );
    });
  }

  it('shows itself in a sentence, whatever it is made of', () => {
    fc.assert(fc.property(markup, showsItself));
  });

  it('stays inside of its code block, whatever it is made of', () => {
    fc.assert(
      fc.property(markup, (text) => {
        const lines = text.split('\n').map((line) => makeVisible(line));
        assert.equal(
          render(`${codeBlock(text)}\n\nafter`),
          `<pre><code class="language-text">${html(lines.join('\n'))}\n</code></pre>\n<p>after</p>`,
        );
      }),
    );
  });

  it('is cut so that Temporal takes it as a summary, and never within an escape', () => {
    for (const text of ['*'.repeat(400), '\u{1f4b8}'.repeat(200), '"'.repeat(300), 'x'.repeat(1_000)]) {
      const line = summaryLine(text);
      assert.ok(Buffer.byteLength(JSON.stringify(line)) <= 340, line);
      assert.match(line, /…$/);
      assert.match(render(`a ${line}`), /^<p>a (\*+|\u{1f4b8}+|(&quot;)+|x+)…<\/p>$/u);
    }
    assert.equal(summaryLine('TransferFunds: attempt 1'), 'TransferFunds: attempt 1');
  });
});
