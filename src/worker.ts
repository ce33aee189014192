/**
 * Creates a worker: its pools, activities, workflows and background loops, and an orderly shutdown.
 *
 * @module temporal-inbox/worker
 */
import { setMaxListeners } from 'node:events';
import { Client } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import type { Pool } from 'pg';
import { createExpressAttempt } from './attempts/express-attempt.ts';
import { MAX_CONCURRENT_ALERTS } from '../activities/alert.ts';
import { AttemptSlots } from '../activities/attempt-slots.ts';
import { createActivities } from '../activities/index.ts';
import type { AlertDeliveries } from './core/alert.ts';
import { createDeliveries } from './alerts/deliveries.ts';
import { AlertGatherer } from './alerts/gather-alerts.ts';
import type { CommandLog } from './core/command-log.ts';
import type { InboxSettings } from './settings.ts';
import { checkSettings, DEFAULT_SETTINGS } from './settings.ts';
import { readDirectUrl } from './platform/postgres-url.ts';
import { ExpressRunner } from './dispatch/express-runner.ts';
import { LiveTypedWorkflows } from './temporal/live-typed-workflows.ts';
import { LiveSearchAttributes } from './temporal/live-search-attributes.ts';
import { chooseLog } from './platform/pino-log.ts';
import { checkSchema } from './store/migrate.ts';
import { replanOnGrowth } from './dispatch/plan-refresh.ts';
import { Reconciler } from './dispatch/reconciler.ts';
import { Recorder } from './dispatch/recorder.ts';
import { createRegistry } from './commands/registry.ts';
import type { RegisteredCommand, Registry } from './commands/registry.ts';
import { Relay } from './dispatch/relay.ts';
import { TypeSlots } from './dispatch/type-slots.ts';
import { askDatabase, identifyDatabase } from './store/sessions.ts';
import { readInboxId } from './store/identity.ts';
import { noteCommandTypes } from './store/command-types.ts';
import { hasOlderWorkers } from './store/workers.ts';
import { checkDeployment, deploymentOptions } from './temporal/deployment.ts';
import { checkSdkOptions, clientOptions, workerOptions } from './temporal/sdk-options.ts';
import { createSdkLogger, setWorkerLogger, workflowLogSink } from './temporal/sdk-logger.ts';
import { TemporalWatch } from './temporal/periodic-checks.ts';
import { workerIdentity } from './temporal/worker-identity.ts';
import { loadWorkflowBundle } from './temporal/workflow-bundle.ts';
import { observeOpenWork } from './health/open-work-gauges.ts';
import { createReadiness } from './health/probes.ts';
import { askTemporal, notPolling } from './temporal/worker-state.ts';
import { startCounters } from './telemetry/instruments.ts';
import { observeWorker } from './telemetry/worker-gauges.ts';
import type { WorkerState } from './telemetry/worker-gauges.ts';
import type { InboxWorker, InboxWorkerOptions } from './worker-options.ts';
import { WorkerLife } from './dispatch/worker-life.ts';
import type { Loop } from './platform/loop.ts';
import { closeWorkerPools, createWorkerPools } from './dispatch/worker-pools.ts';
import type { WorkerPools } from './dispatch/worker-pools.ts';
import { WorkerPresence } from './dispatch/worker-presence.ts';

export type { DeadLetterAlert, DeadLetterHook } from './core/alert.ts';
export type { WorkerDeployment } from './temporal/deployment.ts';
export type { WorkerDataConverter, WorkerInterceptors } from './temporal/sdk-options.ts';
export type { WebhookSettings } from './alerts/webhook-settings.ts';
export type { Environment } from './platform/environment.ts';
export { settingsFromEnv } from './settings.ts';
export type { InboxSettings } from './settings.ts';
export type { InboxWorker, InboxWorkerOptions } from './worker-options.ts';
export { probeEndpoint } from './health/probe-endpoint.ts';
export type { Readiness, ReadinessCheck } from './health/probes.ts';
export type { PinoLogger } from './platform/pino-log.ts';

/**
 * Creates a worker for these commands. The caller owns the Temporal connection and closes it after `run` has ended.
 *
 * @throws SchemaError if the database was not migrated; InvalidCommandError for invalid commands;
 *   ConfigurationError for invalid settings, and for converters and interceptors that a worker cannot use
 */
export async function createInboxWorker(options: InboxWorkerOptions): Promise<InboxWorker> {
  const settings = { ...DEFAULT_SETTINGS, ...checkSettings(options.settings) };
  checkSdkOptions(options);
  checkDeployment(options.deployment);
  const registry = createRegistry(options.commands);
  const pools = createWorkerPools(options.databaseUrl, settings);
  try {
    const context = await readContext(options, settings, registry, pools);
    const shutdown = new AbortController();
    // Each running attempt adds a listener. There may be many, which is not a leak.
    setMaxListeners(0, shutdown.signal);
    const parts = { options, settings, registry, pools, context, shutdown: shutdown.signal };
    const loops = createLoops(parts);
    const worker = await createTemporalWorker({ ...parts, ...loops });
    const { relay, recorder, others } = loops;
    const { identity, log } = context;
    let stopObserving: (() => Promise<void>) | undefined;
    const life = new WorkerLife({
      worker,
      loops: [
        // The relay ends after the last attempt; until then, there may be something to record.
        { run: () => relay.run().finally(() => recorder.stop()), stop: () => relay.stop() },
        // Ends after the relay.
        { run: () => recorder.run(), stop: () => {} },
        ...others,
      ],
      shutdownBegun: () => relay.stop(),
      graceMs: settings.shutdownGraceMs,
      cancelAttempts: shutdown,
      started: () => {
        const { databaseUrl } = options;
        const types = [...registry.keys()];
        startCounters(types);
        const stops = [
          replanOnGrowth([pools.looks, pools.claims, pools.attempts], pools.records),
          observeWorker(observedState(parts, loops)),
        ];
        stopObserving = observeOpenWork({ databaseUrl, identity, types, log });
        return () => stops.forEach((stop) => stop());
      },
      release: async () => {
        await stopObserving?.();
        await closeWorkerPools(pools);
      },
      log,
    });
    const readiness = createReadiness({
      postgres: () => askDatabase(pools.records),
      temporal: () => askTemporal(options.connection),
      polling: () => notPolling(worker),
    });
    return {
      run: () => life.run(),
      shutdown: () => life.shutdown(),
      close: () => life.close(),
      readiness,
    };
  } catch (error) {
    await closeWorkerPools(pools);
    throw error;
  }
}

/** The inputs from which the parts of a worker are created. */
interface WorkerParts {
  options: InboxWorkerOptions;
  settings: InboxSettings;
  registry: Registry;
  pools: WorkerPools;
  context: WorkerContext;
  /** Aborted when the grace period of a shutdown is over. */
  shutdown: AbortSignal;
}

/** The facts that the worker has read from Postgres and Temporal, and the objects that it uses for both. */
interface WorkerContext {
  namespace: string;
  /** The worker's own connection, because only then can a workflow start be eager. */
  client: Client;
  taskQueue: string;
  /** The inbox's id. */
  inbox: string;
  /** Identifies the database and the running server: see {@link identifyDatabase}. */
  database: Awaited<ReturnType<typeof identifyDatabase>>;
  /** The worker's name in Temporal and in Postgres. */
  identity: string;
  searchAttributes: LiveSearchAttributes;
  typedWorkflows: LiveTypedWorkflows;
  log: CommandLog;
}

/** @throws SchemaError if the database was not migrated */
async function readContext(
  options: InboxWorkerOptions,
  settings: InboxSettings,
  registry: Registry,
  { records }: WorkerPools,
): Promise<WorkerContext> {
  const { connection } = options;
  const namespace = options.namespace ?? 'default';
  const log = chooseLog(options);
  await checkSchema(records);
  const inbox = await readInboxId(records);
  const searchAttributes = new LiveSearchAttributes({ connection, namespace, log });
  await searchAttributes.look();
  const { taskQueue } = settings;
  // Before this worker polls Temporal, so that no other worker refuses one of its types as unknown.
  await noteCommandTypes(records, [...registry.keys()]);
  const hasOlder = await hasOlderWorkers(records, { namespace, taskQueue });
  return {
    namespace,
    client: new Client({ connection, namespace, ...clientOptions(options) }),
    taskQueue,
    inbox,
    database: await identifyDatabase(records),
    identity: workerIdentity(inbox),
    searchAttributes,
    typedWorkflows: new LiveTypedWorkflows(hasOlder, log),
    log,
  };
}

/** The dependencies of attempts, whether an activity or the express runner runs them. */
function attemptDependencies({ options, settings, registry, pools, context, shutdown }: WorkerParts) {
  return {
    registry,
    attempts: pools.attempts,
    records: pools.records,
    maxPayloadBytes: settings.maxPayloadBytes,
    worker: context.identity,
    buildId: buildIdOf(options),
    shutdown,
    log: context.log,
    taskQueue: context.taskQueue,
    trace: {
      queries: settings.traceQueries,
      queryText: settings.traceQueryText,
      errorMessages: settings.traceErrorMessages,
    },
  };
}

/** The loops that run beside the Temporal worker, and the objects that they share with its activities. */
interface WorkerLoops {
  relay: Relay;
  recorder: Recorder;
  /** Loops that nothing else refers to. */
  others: readonly Loop[];
  /** The slots of first attempts, shared by the relay and the activities. */
  firstSlots: TypeSlots;
  /** The slots of all other attempts in workflows. */
  otherSlots: TypeSlots;
  express: ExpressRunner;
  deliveries: AlertDeliveries;
}

function buildIdOf({ buildId, deployment }: InboxWorkerOptions): string | null {
  return buildId ?? deployment?.buildId ?? null;
}

const typesOf = (commands: readonly RegisteredCommand[]) => commands.map(({ type }) => type);

function createLoops(parts: WorkerParts): WorkerLoops {
  const { options, settings, registry, pools, context } = parts;
  const { connection } = options;
  const { namespace, client, taskQueue, inbox, database, identity, searchAttributes, log } = context;
  const { typedWorkflows } = context;
  // Temporal would hand an eager workflow task to this worker without asking which version it routes to.
  const eager = options.deployment === undefined;
  const temporal = { client, taskQueue, inbox, searchAttributes, typedWorkflows, eager, log };
  const commands = [...registry.values()];
  const types = typesOf(commands);

  const recorder = new Recorder({ ...temporal, pool: pools.claims, types, atOnce: settings.concurrency });
  const express = new ExpressRunner({
    ...temporal,
    pool: pools.records,
    types: typesOf(commands.filter((command) => command.express)),
    recordedTypes: typesOf(commands.filter(({ recorded }) => recorded)),
    recorder,
    slots: settings.expressConcurrency,
    attempt: createExpressAttempt(attemptDependencies(parts)),
  });
  const firstSlots = new TypeSlots(settings.concurrency, registry.size);
  const relay = new Relay({
    ...temporal,
    pool: pools.looks,
    directUrl: options.directUrl === undefined ? readDirectUrl() : options.directUrl,
    database,
    slots: firstSlots,
    workflowTypes: typesOf(commands.filter((command) => !command.express)),
    express,
  });
  const deliveries = createDeliveries(options.onDeadLetter, settings.webhook);
  const buildId = buildIdOf(options);
  return {
    relay,
    recorder,
    others: [
      new Reconciler({ ...temporal, pool: pools.claims, types }),
      new AlertGatherer({
        ...temporal,
        pool: pools.records,
        channels: [...deliveries.keys()],
        windowMs: settings.alertWindowMs,
      }),
      new WorkerPresence({
        pool: pools.records,
        worker: { identity, namespace, taskQueue, buildId, commandTypes: types },
        typedWorkflows,
        log,
      }),
      new TemporalWatch({ connection, namespace, taskQueue, inbox, attributes: searchAttributes, log }),
    ],
    firstSlots,
    otherSlots: new TypeSlots(settings.retryConcurrency, registry.size),
    express,
    deliveries,
  };
}

const connectionsOf = (pool: Pool) => () => ({
  open: pool.totalCount,
  idle: pool.idleCount,
  waiting: pool.waitingCount,
});

/** The slots and connections that the metrics of this process report. */
function observedState(
  { pools, context }: WorkerParts,
  { firstSlots, otherSlots, express }: WorkerLoops,
): WorkerState {
  return {
    taskQueue: context.taskQueue,
    slots: {
      first: () => firstSlots.usage,
      retry: () => otherSlots.usage,
      express: () => express.slots.usage,
    },
    pools: Object.fromEntries(Object.entries(pools).map(([name, pool]) => [name, connectionsOf(pool)])),
  };
}

async function createTemporalWorker({
  relay,
  firstSlots,
  otherSlots,
  deliveries,
  ...parts
}: WorkerParts & WorkerLoops): Promise<Worker> {
  const { options, settings, pools, context } = parts;
  const { namespace, client, taskQueue, inbox, identity, searchAttributes, log } = context;
  const webUi = settings.temporalUiUrl === null ? null : { url: settings.temporalUiUrl, namespace };
  const activities = createActivities(
    {
      ...attemptDependencies(parts),
      claims: pools.claims,
      signaller: { client, taskQueue, inbox, typedWorkflows: context.typedWorkflows },
      inbox,
      searchAttributes,
      slots: new AttemptSlots({
        first: firstSlots,
        other: otherSlots,
        places: maxWaitingAttempts(settings),
      }),
      attemptBegan: (messageId) => relay.attemptBegan(messageId),
      attemptEnded: (messageId) => relay.attemptEnded(messageId),
    },
    { records: pools.records, deliveries, inbox, giveUpMs: settings.alertGiveUpMs, webUi, log },
  );
  const sdkLogger = createSdkLogger(log);
  const worker = await Worker.create({
    connection: options.connection,
    sinks: workflowLogSink(sdkLogger),
    ...workerOptions(options),
    ...deploymentOptions(options.deployment),
    namespace,
    identity,
    taskQueue,
    workflowBundle: await loadWorkflowBundle(),
    activities,
    ...workerSlots(settings),
    shutdownGraceTime: settings.shutdownGraceMs,
    // After the grace time, attempts are aborted and their claims undone. This limit is for handlers that ignore the abort.
    shutdownForceTime: settings.shutdownGraceMs + 10_000,
  });
  setWorkerLogger(worker, sdkLogger);
  return worker;
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
function workerSlots(settings: InboxSettings) {
  const waiting = maxWaitingAttempts(settings);
  const workflowTasks = (settings.concurrency + waiting) * 2 + 50;
  return {
    maxConcurrentLocalActivityExecutions: settings.concurrency + waiting,
    // Running attempts, including deferred first attempts; operator requests; and alerts.
    maxConcurrentActivityTaskExecutions:
      settings.concurrency + settings.retryConcurrency + 4 + MAX_CONCURRENT_ALERTS,
    maxConcurrentWorkflowTaskExecutions: workflowTasks,
    maxCachedWorkflows: Math.max(1_000, workflowTasks * 2),
  };
}
