/**
 * Commands in all modes, for the tests of traces and metrics.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../src/core/errors.ts';

/** Must not appear in anything that is exported. */
export const CANARY = 'card-4111-1111';

export const packParcel = defineCommand({
  type: 'PackParcel',
  schema: z.object({ order: z.string() }),
  express: true,
  async handle() {},
});

function order(type: string, express: boolean | 'recorded') {
  return defineCommand({
    type,
    schema: z.object({
      /** How many attempts fail before one succeeds. */
      failures: z.int().default(0),
      /** The first generation ends as a dead letter. */
      dies: z.boolean().default(false),
      note: z.string().default(CANARY),
    }),
    express,
    retry: { initialInterval: '50ms', maximumInterval: '50ms' },
    async handle({ payload, tx, emit, send, attempt, generation, messageId }) {
      if (payload.dies && generation === 0) throw new UnrecoverableError('CardExpired', { card: CANARY });
      if (generation === 0 && attempt <= payload.failures) throw new Error(`declined ${CANARY}`);
      await tx.query('select $1::text as note', [payload.note]);
      emit({ aggregateType: 'order', aggregateId: messageId, type: 'Placed', payload: { note: CANARY } });
      await send(packParcel, { messageId: `${messageId}-pack`, payload: { order: messageId } });
      return { note: payload.note };
    },
  });
}

export const workflowOrder = order('WorkflowOrder', false);
export const expressOrder = order('ExpressOrder', true);
export const recordedOrder = order('RecordedOrder', 'recorded');

export const preparedOrder = defineCommand({
  type: 'PreparedOrder',
  schema: z.object({}),
  express: true,
  prepare: async () => ({ score: 1 }),
  async handle({ prepared }) {
    return prepared;
  },
});

export const TRACED_COMMANDS = [packParcel, workflowOrder, expressOrder, recordedOrder, preparedOrder];
export default TRACED_COMMANDS;
