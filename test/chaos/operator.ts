/**
 * A simulated operator who resolves dead letters during the faults. Most are replayed, some of them twice, and some are
 * discarded. The operator is slower than commands die, so some dead letters stay open for a long time.
 *
 * @module
 */
import type { Client } from '@temporalio/client';
import type { Pool } from 'pg';
import { pause } from '../../src/outbox/session.ts';
import { DEFAULT_TASK_QUEUE } from '../../src/core/protocol.ts';
import type { Random } from './random.ts';

export interface SimulatedOperator {
  pool: Pool;
  client: Client;
  random: Random;
  signal: AbortSignal;
}

export async function resolveDeadLetters({ pool, client, random, signal }: SimulatedOperator): Promise<void> {
  while (!signal.aborted) {
    await pause(1_000, signal);
    const { rows } = await pool
      .query<{ message_id: string }>(
        'select message_id from inbox.dead_letters where resolution is null order by random() limit 1',
      )
      .catch(() => ({ rows: [] }));
    for (const { message_id: workflowId } of rows) {
      const name = random.chance(0.85) ? 'replay' : 'discard';
      const act = () =>
        client.withDeadline(Date.now() + 3_000, () =>
          client.workflow.signalWithStart('handleCommand', {
            workflowId,
            taskQueue: DEFAULT_TASK_QUEUE,
            signal: name,
            signalArgs: [{ actor: 'chaos', reason: 'chosen at random' }],
          }),
        );
      await Promise.allSettled(random.chance(0.2) ? [act(), act()] : [act()]);
    }
  }
}
