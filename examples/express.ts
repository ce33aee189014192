/** An express command that succeeds needs no workflow. If its first attempt fails, it gets one, like any other command. */
import { randomUUID } from 'node:crypto';
import { WorkflowNotFoundError } from '@temporalio/client';
import { defineCommand } from 'temporal-inbox';
import { z } from 'zod';
import { withWorker } from './with-worker.ts';

const capture = defineCommand({
  type: 'CapturePayment',
  express: true,
  retry: { initialInterval: '100ms' },
  schema: z.object({ failures: z.int() }),
  handle({ payload, attempt }) {
    if (attempt <= payload.failures) throw new Error('the gateway is busy');
    return { attempt };
  },
});

await withWorker([capture], async ({ inbox, client }) => {
  const execute = async (failures: number) => {
    const messageId = randomUUID();
    console.log(await inbox.execute(capture, { messageId, payload: { failures } }));
    return client.workflow.getHandle(messageId);
  };
  const smooth = await execute(0); // { attempt: 1 }
  await smooth.describe().catch((error: unknown) => {
    if (error instanceof WorkflowNotFoundError) console.log('no workflow'); // no workflow
  });
  const bumpy = await execute(1); // { attempt: 2 }
  console.log(await bumpy.result()); // { attempt: 2 }
});
