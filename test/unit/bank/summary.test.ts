import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { showProgress } from '../../../examples/bank/progress.ts';
import { type Summary, summarize } from '../../../examples/bank/summary.ts';

const summary: Summary = {
  sent: 412,
  duplicates: 0,
  seconds: 9.26,
  replayed: 'cdnow-00111-7',
  outcome: {
    completed: 403,
    retried: 37,
    transientFailures: [
      { type: 'RetryAfter', count: 26 },
      { type: 'AccountBusy', count: 12 },
    ],
    deadLetters: [
      { type: 'InsufficientFunds', count: 8 },
      { type: 'InvalidPayload', count: 1 },
    ],
    replayed: 1,
    example: { messageId: 'cdnow-00111-9', type: 'InsufficientFunds' },
  },
  conservation: { accounts: 112, balanceCents: 6_660_005n, depositedCents: 6_660_005n, problems: [] },
  next: {
    webUi: { url: 'http://127.0.0.1:8233', namespace: 'default' },
    temporalAddress: '127.0.0.1:7233',
    taskQueue: 'inbox',
    environment: ["export DATABASE_URL='postgres://…'"],
    searchAttributes: true,
  },
};

void describe('the summary', () => {
  void it('shows the outcome of the commands and the next steps', () => {
    assert.equal(
      summarize(summary),
      `412 commands sent in 9.3 s.

Completed         403
Retried            37   RetryAfter 26, AccountBusy 12
Dead letters        9   InsufficientFunds 8, InvalidPayload 1
Replayed            1

Money conserved: 112 accounts hold 66,600.05 dollars, exactly the amount deposited.

Web UI  http://127.0.0.1:8233
        the dead letters: http://127.0.0.1:8233/namespaces/default/workflows?query=InboxStatus%3D%22DeadLetter%22%20AND%20ExecutionStatus%3D%22Running%22

Next steps:
  export DATABASE_URL='postgres://…'
  temporal workflow list --address 127.0.0.1:7233 --query 'InboxStatus="DeadLetter" AND ExecutionStatus="Running"'
  npx inbox show cdnow-00111-9
  temporal workflow start --address 127.0.0.1:7233 --type DepositFunds --task-queue inbox --workflow-id top-up-00111 --input '{"accountId":"00111","amountCents":100000}'
  temporal workflow signal --address 127.0.0.1:7233 --workflow-id cdnow-00111-9 --name replay
  npx inbox show cdnow-00111-9
`,
    );
  });

  void it('reports that nothing changed', () => {
    assert.match(
      summarize({ ...summary, duplicates: 412, replayed: null }),
      /^Nothing changed: all 412 commands were duplicates/,
    );
  });

  void it('reports the number of duplicates among the commands', () => {
    assert.match(
      summarize({ ...summary, duplicates: 12 }),
      /^412 commands sent in 9.3 s, 12 of them duplicates/,
    );
  });

  void it('reports missing money', () => {
    const conservation = {
      ...summary.conservation,
      problems: ['accounts hold 1 cents, but 2 were deposited'],
    };
    assert.match(
      summarize({ ...summary, conservation }),
      /MONEY IS NOT CONSERVED:\n {2}accounts hold 1 cents/,
    );
  });

  void it('suggests no command that cannot work', () => {
    const output = summarize({
      ...summary,
      outcome: { ...summary.outcome, deadLetters: [], example: null },
      next: { ...summary.next, searchAttributes: false },
    });
    assert.doesNotMatch(output, /workflow list|signal|show/);
  });
});

void describe('the progress display without a terminal', () => {
  void it('ends with a line that shows the final counts', async () => {
    const out = new PassThrough();
    const display = showProgress(out, 10);
    display.update({ total: 10, sent: 4, duplicates: 0, completed: 3, deadLetters: 0, waiting: 1 });
    display.update({ total: 10, sent: 10, duplicates: 0, completed: 9, deadLetters: 1, waiting: 0 });
    display.stop();
    out.end();
    assert.equal(await text(out), '10 of 10 done: 9 completed, 0 to be retried, 1 dead letters\n');
  });
});
