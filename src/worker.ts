/**
 * Puts everything together: pools, activities, workflows, and an end in good order.
 *
 * @module
 */
import { setMaxListeners } from 'node:events';
import { Client } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import type { NativeConnection } from '@temporalio/worker';
import type { Pool } from 'pg';
import { createExpressAttempt } from './attempts/express-attempt.ts';
import { ALERTS_AT_ONCE } from '../activities/alert.ts';
import { AttemptSlots } from '../activities/attempt-slots.ts';
import { createActivities } from '../activities/index.ts';
import type { DeadLetterHook } from './core/alert.ts';
import { createDeliveries } from './alerts/deliveries.ts';
import { createAlertLoop } from './alerts/gather-alerts.ts';
import type { CommandDefinition } from './commands/define-command.ts';
import type { CommandLog } from './core/command-log.ts';
import type { InboxSettings } from './settings.ts';
import { checkSettings } from './settings.ts';
import { readSettings } from './settings.ts';
import { readDirectUrl } from './platform/postgres-url.ts';
import { ATTEMPT_SETTINGS, CLAIM_SETTINGS, RECORD_SETTINGS } from './platform/connection-settings.ts';
import { createPool } from './platform/postgres.ts';
import { ExpressLane } from './dispatch/express-runner.ts';
import { LiveAttributes } from './temporal/live-search-attributes.ts';
import { createLog } from './platform/log.ts';
import { checkSchema } from './store/migrate.ts';
import { keepPlans } from './dispatch/plan-refresh.ts';
import { createReconciler } from './dispatch/reconciler.ts';
import { Recorder } from './dispatch/recorder.ts';
import { createRegistry } from './commands/registry.ts';
import { createRelay } from './dispatch/relay.ts';
import { TypeSlots } from './dispatch/type-slots.ts';
import { identifyDatabase } from './store/sessions.ts';
import { readInboxId } from './store/identity.ts';
import { TemporalWatch } from './temporal/periodic-checks.ts';
import { workerIdentity } from './temporal/worker-identity.ts';
import { loadWorkflowBundle } from './temporal/workflow-bundle.ts';
import { WorkerLife } from './dispatch/worker-life.ts';
import { WorkerPresence } from './dispatch/worker-presence.ts';

export interface InboxWorkerOptions {
  commands: readonly CommandDefinition[];
  /** Postgres, with the inbox's schema in it. */
  databaseUrl: string;
  /**
   * The same database without a pooler in transaction mode, for LISTEN. Default INBOX_DIRECT_URL; null for none, then
   * `databaseUrl` is used.
   */
  directUrl?: string | null;
  connection: NativeConnection;
  /** Temporal's namespace. Default `default`. */
  namespace?: string;
  /** What differs from the environment's settings. */
  settings?: Partial<InboxSettings>;
  log?: CommandLog;
  /** Told of dead letters, at least once; beside the webhook of the settings, where there is one. */
  onDeadLetter?: DeadLetterHook;
  /** Shown with every failed attempt, to tell releases apart. */
  buildId?: string;
}

export interface InboxWorker {
  /**
   * Works until {@link shutdown} or, where the process installed Temporal's Runtime with signals, SIGTERM or SIGINT.
   * Attempts in flight may finish within the grace time; then it closes its connections to Postgres.
   *
   * @throws WorkerEndedError when it was called before, or after the worker's end; what made the worker fail
   */
  run(): Promise<void>;
  /** Begins the end, which {@link run} waits for. Before `run`, it releases what the worker holds. Calling it again does nothing. */
  shutdown(): void;
  /** Shuts the worker down, and resolves when it has released its connections, also if it never ran. */
  close(): Promise<void>;
}

/**
 * A worker for these commands. The caller owns the Temporal connection and closes it after `run` has ended.
 *
 * @throws SchemaError when the database was not migrated, InvalidCommandError for commands that make no sense,
 *   ConfigurationError for settings that do not
 */
export async function createInboxWorker(options: InboxWorkerOptions): Promise<InboxWorker> {
  const settings = { ...readSettings(), ...checkSettings(options.settings) };
  const namespace = options.namespace ?? 'default';
  const log = options.log ?? createLog();
  const registry = createRegistry(options.commands);
  const pools = createPools(options.databaseUrl, settings);
  try {
    await checkSchema(pools.records);
    const inbox = await readInboxId(pools.records);
    const searchAttributes = new LiveAttributes({ connection: options.connection, namespace, log });
    await searchAttributes.look();
    const shutdown = new AbortController();
    // One listener for each attempt in flight: many, and no leak.
    setMaxListeners(0, shutdown.signal);
    const identity = workerIdentity(inbox);
    const starter = {
      // Of the worker's own connection: only so can a start be eager.
      client: new Client({ connection: options.connection, namespace }),
      taskQueue: settings.taskQueue,
      inbox,
      searchAttributes,
      pool: pools.records,
      log,
    };
    const dependencies = {
      registry,
      ...pools,
      signaller: starter,
      inbox,
      maxPayloadBytes: settings.maxPayloadBytes,
      worker: identity,
      buildId: options.buildId ?? null,
      searchAttributes,
      shutdown: shutdown.signal,
      log,
    };
    const commands = [...registry.values()];
    const types = commands.map(({ type }) => type);
    const recorder = new Recorder({ ...starter, pool: pools.claims, types, atOnce: settings.concurrency });
    const express = new ExpressLane({
      ...starter,
      types: commands.filter(({ express: isExpress }) => isExpress).map(({ type }) => type),
      recordedTypes: commands.filter(({ recorded }) => recorded).map(({ type }) => type),
      recorder,
      slots: settings.expressConcurrency,
      attempt: createExpressAttempt(dependencies),
    });
    const firstSlots = new TypeSlots(settings.concurrency, registry.size);
    const relay = createRelay({
      ...starter,
      pool: pools.looks,
      directUrl: options.directUrl === undefined ? readDirectUrl() : options.directUrl,
      database: await identifyDatabase(pools.records),
      slots: firstSlots,
      workflowTypes: commands.filter(({ express: isExpress }) => !isExpress).map(({ type }) => type),
      express,
    });
    const reconciler = createReconciler({ ...starter, pool: pools.claims, types });
    const presence = new WorkerPresence({
      pool: pools.records,
      worker: {
        identity,
        namespace,
        taskQueue: settings.taskQueue,
        buildId: options.buildId ?? null,
        commandTypes: types,
      },
      log,
    });
    const watch = new TemporalWatch({
      connection: options.connection,
      namespace,
      taskQueue: settings.taskQueue,
      inbox,
      attributes: searchAttributes,
      log,
    });
    const deliveries = createDeliveries(options.onDeadLetter, settings.webhook);
    const alerts = createAlertLoop({
      ...starter,
      channels: [...deliveries.keys()],
      windowMs: settings.alertWindowMs,
    });
    const worker = await Worker.create({
      connection: options.connection,
      namespace,
      identity,
      taskQueue: settings.taskQueue,
      workflowBundle: await loadWorkflowBundle(),
      activities: createActivities(
        {
          ...dependencies,
          slots: new AttemptSlots({
            first: firstSlots,
            other: new TypeSlots(settings.retryConcurrency, registry.size),
            places: placesToWait(settings),
          }),
          attemptBegan: (messageId) => relay.attemptBegan(messageId),
          attemptEnded: (messageId) => relay.attemptEnded(messageId),
        },
        { records: pools.records, deliveries, inbox, giveUpMs: settings.alertGiveUpMs, log },
      ),
      ...slots(settings),
      shutdownGraceTime: settings.shutdownGraceMs,
      // After the grace time attempts are cancelled and recorded as failed; this is for those that do not listen.
      shutdownForceTime: settings.shutdownGraceMs + 10_000,
    });
    return new WorkerLife({
      worker,
      loops: [
        // The relay ends when the last attempt has; until then there may be something to record.
        { run: () => relay.run().finally(() => recorder.stop()), stop: () => relay.stop() },
        // Ends after the relay.
        { run: () => recorder.run(), stop: () => {} },
        reconciler,
        alerts,
        presence,
        watch,
      ],
      shutdownBegun: () => relay.stop(),
      graceMs: settings.shutdownGraceMs,
      cancelAttempts: shutdown,
      started: () => keepPlans([pools.looks, pools.claims, pools.attempts], pools.records),
      release: () => closePools(pools),
      log,
    });
  } catch (error) {
    await closePools(pools);
    throw error;
  }
}

type Pools = Record<'looks' | 'claims' | 'attempts' | 'records', Pool>;

const OWN_QUERY_TIMEOUT_MS = 20_000;

function createPools(connectionString: string, settings: InboxSettings): Pools {
  const own = { connectionString, queryTimeoutMs: OWN_QUERY_TIMEOUT_MS };
  // The two lanes share: seldom are both full, and then one waits for the other.
  const attempts = Math.max(settings.concurrency, settings.expressConcurrency) + settings.retryConcurrency;
  // Behind a pooler that gives each of our connections one of its few, attempts must not take them all.
  const few = { max: Math.max(2, Math.ceil(attempts / 8)), min: 1 };
  return {
    attempts: createPool({
      connectionString,
      max: attempts,
      applicationName: 'inbox attempts',
      pipeline: true,
      settings: ATTEMPT_SETTINGS,
      settingsFor: 'transaction',
    }),
    // The relay's: finding work must not wait for claims that wait for somebody's transaction. It looks once at a time, and with one
    // connection it meets a network that went silent only once.
    looks: createPool({ ...own, max: 1, min: 1, applicationName: 'inbox looks', settings: CLAIM_SETTINGS }),
    // A claim takes a fraction of a millisecond of its connection, an attempt all of it.
    claims: createPool({ ...own, ...few, applicationName: 'inbox claims', settings: CLAIM_SETTINGS }),
    records: createPool({ ...own, ...few, applicationName: 'inbox records', settings: RECORD_SETTINGS }),
  };
}

async function closePools(pools: Pools): Promise<void> {
  await Promise.all(Object.values(pools).map((pool) => pool.end()));
}

/** First attempts that may wait for a slot within the worker. */
function placesToWait({ concurrency }: InboxSettings): number {
  return Math.max(4, Math.ceil(concurrency / 2));
}

/**
 * Local activities run inside workflow tasks, at most (workflow-task slots - sticky pollers) at a time, so there are
 * more of those than first attempts; and a workflow that falls out of the cache while its local activity runs has to
 * start over, so the cache holds more than both.
 */
function slots(settings: InboxSettings) {
  const waiting = placesToWait(settings);
  const workflowTasks = (settings.concurrency + waiting) * 2 + 50;
  return {
    maxConcurrentLocalActivityExecutions: settings.concurrency + waiting,
    // Attempts that run, also first ones that were put off; what operators do, and alerts.
    maxConcurrentActivityTaskExecutions:
      settings.concurrency + settings.retryConcurrency + 4 + ALERTS_AT_ONCE,
    maxConcurrentWorkflowTaskExecutions: workflowTasks,
    maxCachedWorkflows: Math.max(1_000, workflowTasks * 2),
  };
}
