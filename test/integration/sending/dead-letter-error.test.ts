import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { DeadLetterError, UnrecoverableError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

const behaviors = {
  details: () => {
    throw new UnrecoverableError('InsufficientFunds', { account: 'a', missingCents: 5 });
  },
  message: () => {
    throw new UnrecoverableError('Closed', { account: 'a' }, { message: 'the account is closed' });
  },
  wrapped: () => {
    throw new Error('the ORM failed', { cause: new UnrecoverableError('Frozen', { since: '2026-01-01' }) });
  },
  plain: () => {
    throw new Error('never works');
  },
};
type Behavior = keyof typeof behaviors;

const schema = z.object({ behavior: z.enum(Object.keys(behaviors) as [Behavior]) });
const handle = ({ payload }: { payload: { behavior: Behavior } }) => behaviors[payload.behavior]();
const retry = { maximumAttempts: 1 };
const commands = {
  workflow: defineCommand({ type: 'Fail', schema, retry, handle }),
  express: defineCommand({ type: 'FailExpress', schema, retry, express: true, handle }),
};

const dataOf = ({ messageId, error, errorType, details, failureGroup }: DeadLetterError) => ({
  messageId,
  error,
  errorType,
  details,
  failureGroup,
});

describe('DeadLetterError', () => {
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
    await fixture.startWorker(Object.values(commands));
  });
  after(async () => {
    await inbox?.close();
    await fixture.close();
  });

  async function failure(mode: keyof typeof commands, behavior: Behavior): Promise<DeadLetterError> {
    const message = { messageId: fixture.id(`${mode}-${behavior}`), payload: { behavior } };
    return inbox.execute(commands[mode], message).then(
      () => assert.fail('must be a dead letter'),
      (error: unknown) => (error instanceof DeadLetterError ? error : Promise.reject(error)),
    );
  }

  for (const mode of ['workflow', 'express'] as const) {
    const type = commands[mode].type;
    for (const [behavior, errorType, details] of [
      ['details', 'InsufficientFunds', { account: 'a', missingCents: 5 }],
      ['message', 'Closed', { account: 'a' }],
      ['wrapped', 'Frozen', { since: '2026-01-01' }],
      ['plain', 'Error', null],
      ['other', 'InvalidPayload', null],
    ] as const) {
      it(`carries what a caller needs (${mode}, ${behavior})`, async () => {
        if (behavior === 'other') {
          const messageId = fixture.id(`${mode}-other`);
          const sent = inbox.execute({ messageId, type, payload: { behavior } });
          await assert.rejects(sent, (error: DeadLetterError) => {
            assert.equal(error.errorType, errorType);
            return true;
          });
          return;
        }
        const error = await failure(mode, behavior);
        assert.equal(error.messageId, fixture.id(`${mode}-${behavior}`));
        assert.equal(error.errorType, errorType);
        assert.deepEqual(error.details, details);
        assert.match(error.failureGroup, new RegExp(`^${type}/${errorType}/[0-9a-f]{8}$`));
        assert.ok(error.error.startsWith(errorType));
        // A duplicate gets the same error, although nobody notifies it.
        const again = await failure(mode, behavior);
        assert.deepEqual(dataOf(again), dataOf(error));
      });
    }
  }
});
