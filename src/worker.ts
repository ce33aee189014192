/**
 * Creates a worker: its pools, activities, workflows and background loops, and an orderly shutdown.
 *
 * @module
 */
import { setMaxListeners } from 'node:events';
import { Client } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import type { NativeConnection } from '@temporalio/worker';
import type { Pool } from 'pg';
import { createExpressAttempt } from './attempts/express-attempt.ts';
import { MAX_CONCURRENT_ALERTS } from '../activities/alert.ts';
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
import { ExpressRunner } from './dispatch/express-runner.ts';
import { LiveSearchAttributes } from './temporal/live-search-attributes.ts';
import { createLog } from './platform/log.ts';
import { checkSchema } from './store/migrate.ts';
import { replanOnGrowth } from './dispatch/plan-refresh.ts';
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
  /** A Postgres database that contains the inbox's schema. */
  databaseUrl: string;
  /**
   * A URL of the same database without a transaction-mode pooler, for LISTEN. Default INBOX_DIRECT_URL. Null for none: then
   * `databaseUrl` is used.
   */
  directUrl?: string | null;
  connection: NativeConnection;
  /** Temporal's namespace. Default `default`. */
  namespace?: string;
  /** Settings that override those from the environment. */
  settings?: Partial<InboxSettings>;
  log?: CommandLog;
  /** Called with dead letters, at least once each, in addition to the webhook if one is configured. */
  onDeadLetter?: DeadLetterHook;
  /** Shown with every failed attempt, to tell releases apart. */
  buildId?: string;
}

export interface InboxWorker {
  /**
   * Runs until {@link shutdown} is called or, if the process installed Temporal's Runtime with signals, until SIGTERM or
   * SIGINT. Attempts in flight may finish within the grace time. Then the worker closes its connections to Postgres.
   *
   * @throws WorkerEndedError if it was called before, or after the worker's end; the error that made the worker fail
   */
  run(): Promise<void>;
  /**
   * Starts the shutdown; {@link run} resolves when it is complete. Before `run`, it releases the worker. May be called
   * again.
   */
  shutdown(): void;
  /** Shuts the worker down. Resolves when the worker has closed its connections, even if it never ran. */
  close(): Promise<void>;
}

/**
 * Creates a worker for these commands. The caller owns the Temporal connection and closes it after `run` has ended.
 *
 * @throws SchemaError if the database was not migrated; InvalidCommandError for invalid commands;
 *   ConfigurationError for invalid settings
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
    const searchAttributes = new LiveSearchAttributes({ connection: options.connection, namespace, log });
    await searchAttributes.look();
    const shutdown = new AbortController();
    // Each attempt in flight adds a listener. There may be many, which is not a leak.
    setMaxListeners(0, shutdown.signal);
    const identity = workerIdentity(inbox);
    const starter = {
      // Uses the worker's own connection, because only then can a workflow start be eager.
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
    const express = new ExpressRunner({
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
            places: maxWaitingAttempts(settings),
          }),
          attemptBegan: (messageId) => relay.attemptBegan(messageId),
          attemptEnded: (messageId) => relay.attemptEnded(messageId),
        },
        { records: pools.records, deliveries, inbox, giveUpMs: settings.alertGiveUpMs, log },
      ),
      ...slots(settings),
      shutdownGraceTime: settings.shutdownGraceMs,
      // After the grace time, attempts are canceled and recorded as failed. This limit is for handlers that ignore that.
      shutdownForceTime: settings.shutdownGraceMs + 10_000,
    });
    return new WorkerLife({
      worker,
      loops: [
        // The relay ends after the last attempt; until then, there may be something to record.
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
      started: () => replanOnGrowth([pools.looks, pools.claims, pools.attempts], pools.records),
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
  // First attempts of both kinds share these connections. They rarely use all of them at once; then one waits for the other.
  const attempts = Math.max(settings.concurrency, settings.expressConcurrency) + settings.retryConcurrency;
  // A pooler may have few connections to Postgres, and attempts must not take them all.
  const smallPool = { max: Math.max(2, Math.ceil(attempts / 8)), min: 1 };
  return {
    attempts: createPool({
      connectionString,
      max: attempts,
      applicationName: 'inbox attempts',
      pipeline: true,
      settings: ATTEMPT_SETTINGS,
      settingsFor: 'transaction',
    }),
    // For the relay's queries: a query for new work must not wait behind a claim that waits for another transaction. The
    // relay runs one query at a time, and with a single connection it hits a network that no longer answers only once.
    looks: createPool({ ...own, max: 1, min: 1, applicationName: 'inbox looks', settings: CLAIM_SETTINGS }),
    // A claim uses its connection for a fraction of a millisecond, an attempt for its whole duration.
    claims: createPool({ ...own, ...smallPool, applicationName: 'inbox claims', settings: CLAIM_SETTINGS }),
    records: createPool({
      ...own,
      ...smallPool,
      applicationName: 'inbox records',
      settings: RECORD_SETTINGS,
    }),
  };
}

async function closePools(pools: Pools): Promise<void> {
  await Promise.all(Object.values(pools).map((pool) => pool.end()));
}

/** Maximum number of first attempts that may wait for a slot within the worker. */
function maxWaitingAttempts({ concurrency }: InboxSettings): number {
  return Math.max(4, Math.ceil(concurrency / 2));
}

/**
 * Local activities run inside workflow tasks, at most (workflow-task slots - sticky pollers) at a time, so there must be
 * more workflow-task slots than first attempts. A workflow that is evicted from the cache while its local activity runs has
 * to start over, so the cache holds more workflows than both.
 */
function slots(settings: InboxSettings) {
  const waiting = maxWaitingAttempts(settings);
  const workflowTasks = (settings.concurrency + waiting) * 2 + 50;
  return {
    maxConcurrentLocalActivityExecutions: settings.concurrency + waiting,
    // Running attempts, including postponed first attempts; operator requests; and alerts.
    maxConcurrentActivityTaskExecutions:
      settings.concurrency + settings.retryConcurrency + 4 + MAX_CONCURRENT_ALERTS,
    maxConcurrentWorkflowTaskExecutions: workflowTasks,
    maxCachedWorkflows: Math.max(1_000, workflowTasks * 2),
  };
}
