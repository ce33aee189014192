/** What spans contain only on request, and what they then contain. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import type { ReceivedSpan } from '../../support/otlp.ts';
import { CANARY, expressOrder } from '../../support/traced-commands.ts';
import { startTracing } from '../../support/traces.ts';
import type { Tracing } from '../../support/traces.ts';

describe('the details of spans', () => {
  let tracing: Tracing;
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    tracing = await startTracing('orders');
    fixture = await createTestInbox();
    await fixture.startWorker([expressOrder], { traceQueryText: true, traceErrorMessages: true });
    inbox = await createInbox({ pool: fixture.pool });
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
    await tracing.close();
  });

  async function spansOf(
    name: string,
    payload: { failures: number },
    wanted: (span: ReceivedSpan) => boolean,
  ) {
    const traceId = await tracing.request(() =>
      inbox.send(expressOrder, { messageId: fixture.id(name), payload }),
    );
    return tracing.spans(name, (span) => span.traceId === traceId && wanted(span));
  }

  it('are the texts of statements, without the values of their parameters', async () => {
    const [statement] = await spansOf('statement', { failures: 0 }, ({ name }) => name === 'SELECT');
    assert.deepEqual(statement?.attributes, {
      'db.system.name': 'postgresql',
      'db.operation.name': 'SELECT',
      'db.query.text': 'select $1::text as note',
    });
  });

  it('are the messages of errors', async () => {
    const [attempt] = await spansOf(
      'error',
      { failures: 1 },
      ({ attributes }) => attributes['inbox.outcome'] === 'retry',
    );
    assert.deepEqual(attempt?.status, { code: 'error', message: `declined ${CANARY}` });
    assert.equal(attempt?.attributes['error.type'], 'Error');
  });
});
