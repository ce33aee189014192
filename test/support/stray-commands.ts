/**
 * Handlers that leave promises and callbacks behind, which then fail. They need a worker in a separate process, because
 * node:test has its own listeners for such errors.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { HandlerContext } from '../../src/commands/define-command.ts';
import { defineCommand } from '../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../src/core/errors.ts';

type Context = HandlerContext<{ behavior: string }>;

const conflicting = { messageId: 'taken', type: 'Stray', payload: { behavior: 'another' } };
const invalid = { messageId: '', type: 'Stray', payload: {} };

async function failsLater(ms: number): Promise<void> {
  await sleep(ms);
  throw new Error('went wrong');
}

/** Keeps the attempt open until the error that the handler left behind has failed it. */
const forever = () => new Promise<never>(() => {});

const behaviors: Record<string, (context: Context) => unknown> = {
  works: () => 'fine',
  // Promises that are never awaited.
  'sends an invalid message': ({ send }) => void send(invalid),
  'sends a conflicting message': ({ send }) => void send(conflicting),
  'sends a valid message': ({ send, messageId }) =>
    void send({ messageId: `${messageId}-next`, type: 'Stray', payload: { behavior: 'works' } }),
  'starts a function that queries': ({ tx }) =>
    void (async () => {
      await tx.query('select 1');
      await tx.query('select * from no_such_table');
    })(),
  'queries with a callback': ({ tx }) => tx.query('select pg_sleep(0.01)', () => {}),
  'rejects at once': () => void Promise.reject(new Error('went wrong')),
  'rejects while it runs': async () => {
    void failsLater(1);
    await forever();
  },
  'throws in a callback while it runs': async () => {
    setTimeout(() => {
      throw new Error('went wrong');
    }, 1);
    await forever();
  },
  'throws in a callback of a query': async ({ tx }) => {
    tx.query('select 1', () => {
      throw new Error('went wrong');
    });
    await forever();
  },
  'rejects with something final': async () => {
    void Promise.reject(new UnrecoverableError('Broke'));
    await forever();
  },
  'rejects with undefined': async () => {
    // eslint-disable-next-line prefer-promise-reject-errors
    void Promise.reject();
    await forever();
  },
  // Errors that the handler catches.
  'catches an invalid message': ({ send }) => send(invalid).catch(() => 'fine'),
  'catches a conflict and throws': async ({ send }) => {
    await send(conflicting).catch(() => {
      throw new Error('not sent');
    });
  },
  'catches an invalid event': ({ emit }) => {
    try {
      emit({ aggregateType: 'a', aggregateId: '1', type: 'T', payload: Number.NaN });
    } catch {
      return 'fine';
    }
  },
  // Errors after the attempt has ended.
  'rejects afterwards': () => void failsLater(200),
  'throws in a callback afterwards': () =>
    void setTimeout(() => {
      throw new Error('went wrong');
    }, 200),
  'emits afterwards': ({ emit }) =>
    void setTimeout(() => emit({ aggregateType: 'a', aggregateId: '1', type: 'Late', payload: 1 }), 200),
  'queries afterwards': ({ tx }) =>
    void sleep(200).then(async () => {
      await tx.query('select 1');
    }),
};

export const stray = defineCommand({
  type: 'Stray',
  schema: z.object({ behavior: z.string() }),
  retry: { maximumAttempts: 2, initialInterval: '10ms' },
  timeout: '5s',
  handle: async (context) => behaviors[context.payload.behavior]!(context),
});

export const strayExpress = defineCommand({ ...stray, type: 'StrayExpress', express: true });

/** The same behaviors, as far as they need no transaction, before the transaction. */
export const strayPrepare = defineCommand({
  ...stray,
  type: 'StrayPrepare',
  express: true,
  prepare: async (context) => {
    await behaviors[context.payload.behavior]!(context as Context);
  },
  handle: () => 'fine',
});

/** Errors that no handler caused must end the process, as they would without the inbox. */
process.on('SIGUSR2', () => {
  if (process.env['FOREIGN_ERROR'] === 'rejection') void failsLater(0);
  else throw new Error('went wrong');
});
if (process.env['OWN_LISTENER']) {
  process.on('unhandledRejection', () => process.stderr.write('own listener\n'));
  process.on('uncaughtException', () => process.stderr.write('own listener\n'));
}
