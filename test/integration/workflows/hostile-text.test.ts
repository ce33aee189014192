/** Ids, types and error messages that attack people who read them in Temporal's Web UI and copy commands from there. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { shellWords } from '../../support/shell-words.ts';
import { eventually } from '../../support/wait.ts';
import { renderLikeWebUi } from '../../support/web-ui.ts';

const HOSTILE_TYPE = '**x** [Open runbook](https://evil.example/rb) ![t](https://evil.example/t.png)';
const HOSTILE_ERROR =
  'line1\n{workflowId}\n\n# Heading\n```\n[click](javascript:alert(1)) ![p](http://127.0.0.1:9/p.png)\r\n**bold** <script>alert(1)</script> www.evil.example';

const failing = (type: string) =>
  defineCommand({
    type,
    schema: z.object({}),
    handle() {
      throw new UnrecoverableError('Evil [type](https://evil.example)', {}, { message: HOSTILE_ERROR });
    },
  });

describe('hostile text', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.startWorker([failing('Note'), failing(HOSTILE_TYPE), failing('\u{1f4b8}'.repeat(200))]);
  });
  after(() => inbox.close());

  async function deadLetterOf(
    messageId: string,
    type: string,
  ): Promise<{ details: string; summary: string }> {
    await inbox.pool.query('select inbox.send($1, $2, $3)', [messageId, type, {}]);
    await inbox.reaches(messageId, 'DeadLetter');
    const handle = inbox.client.workflow.getHandle(messageId);
    const details = await eventually('the details show the dead letter', async () => {
      const { currentDetails } = await handle.query<{ currentDetails: string }>(
        '__temporal_workflow_metadata',
      );
      return currentDetails.includes('Dead letter') ? currentDetails : null;
    });
    const { staticSummary } = await handle.describe();
    return { details, summary: (await staticSummary()) ?? '' };
  }

  for (const [name, isPrinted] of [
    ['plain', true],
    ['$(id>PWNED)', true],
    ['x;touch$IFS PWNED;#', true],
    ['x;touch${IFS}PWNED;#', false],
    ["it's --address evil.example", true],
    ['` [fix it here](https://evil.example/) ![](http://127.0.0.1:9/t.png) <img src=x> `', false],
    ['```', false],
    ['order-{namespace}', false],
    ['\u200border', false],
    ['\u043erder', false],
  ] as const) {
    it(`in an id is harmless in the details and in the printed commands: ${JSON.stringify(name)}`, async () => {
      const messageId = inbox.id(name);
      const { details } = await deadLetterOf(messageId, 'Note');
      const page = renderLikeWebUi(details, messageId);
      assert.doesNotMatch(page, /<(a|img|script|h1|input)\b/, page);
      const commands = [...page.matchAll(/<code>((?:temporal|inbox) [^<]*)<\/code>/g)].map(([, text]) =>
        text!
          .replaceAll('&lt;', '<')
          .replaceAll('&gt;', '>')
          .replaceAll('&quot;', '"')
          .replaceAll('&amp;', '&'),
      );
      assert.deepEqual(
        commands.map((command) => shellWords(command)),
        isPrinted
          ? [
              ...['replay', 'discard'].map((signal) => [
                'temporal',
                'workflow',
                'signal',
                '--workflow-id',
                messageId,
                '--name',
                signal,
              ]),
              ['inbox', 'show', messageId],
            ]
          : [],
      );
      if (!isPrinted) assert.match(page, /No command is printed/);
    });
  }

  it('cannot become an option: no command is printed for an id that starts with a hyphen', async () => {
    const { details } = await deadLetterOf(`--yes${inbox.id('')}`, 'Note');
    assert.match(details, /No command is printed/);
    assert.doesNotMatch(details, /`inbox|`temporal/);
  });

  for (const type of [HOSTILE_TYPE, '\u{1f4b8}'.repeat(200)]) {
    it(`in a command type of any length is harmless in details and summaries: ${type.slice(0, 20)}`, async () => {
      const { details, summary } = await deadLetterOf(inbox.id(`type-${type.length}`), type);
      assert.doesNotMatch(renderLikeWebUi(details, '```'), /<(a|img|h1)\b/);
      assert.doesNotMatch(renderLikeWebUi(summary, '```'), /<(a|img|strong)\b/);
      assert.ok(Buffer.byteLength(summary) < 400);
    });
  }
});
