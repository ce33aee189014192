/**
 * The options of `createInboxWorker`, and the worker that it returns.
 *
 * @module
 */
import type { NativeConnection } from '@temporalio/worker';
import type { CommandDefinition } from './commands/define-command.ts';
import type { DeadLetterHook } from './core/alert.ts';
import type { CommandLog } from './core/command-log.ts';
import type { Readiness } from './health/probes.ts';
import type { PinoLogger } from './platform/pino-log.ts';
import type { InboxSettings } from './settings.ts';
import type { WorkerDeployment } from './temporal/deployment.ts';
import type { WorkerDataConverter, WorkerInterceptors } from './temporal/sdk-options.ts';

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
  /**
   * Encodes what the worker sends to Temporal, for example to encrypt it. Every client that starts or signals commands needs
   * the same codecs. Search attributes and the IDs and types of workflows are never encoded.
   */
  dataConverter?: WorkerDataConverter;
  /** Interceptors of Temporal's SDK, for example for tracing. `client` also applies to the workflows that the worker starts. */
  interceptors?: WorkerInterceptors;
  /**
   * Settings that differ from the defaults. `settingsFromEnv()` reads them from the environment; without it, the worker
   * ignores the variables that start with INBOX_, except INBOX_DIRECT_URL.
   */
  settings?: Partial<InboxSettings>;
  /** Receives log lines, also those of Temporal's SDK about this worker. Default: readable lines on stderr. */
  log?: CommandLog;
  /** Receives log lines, as an alternative to `log`: a logger of pino's shape. */
  logger?: PinoLogger;
  /** Called with dead letters, at least once each, in addition to the webhook if one is configured. */
  onDeadLetter?: DeadLetterHook;
  /** Shown with every failed attempt, to distinguish releases. Default: the build id of `deployment`. */
  buildId?: string;
  /**
   * Turns on Temporal's worker versioning: the worker gets workflows only while Temporal routes them to this version.
   * docs/upgrading.md shows how to deploy with it. Express commands are not routed: any worker runs them.
   */
  deployment?: WorkerDeployment;
}

export interface InboxWorker {
  /**
   * Runs until {@link shutdown} is called or, if the process installed Temporal's Runtime with signals, until SIGTERM or
   * SIGINT. Running attempts may finish within the grace time. Then the worker closes its connections to Postgres.
   *
   * @throws WorkerEndedError if it was called before, or after the worker has ended; the error that made the worker fail
   */
  run(): Promise<void>;
  /**
   * Starts the shutdown; {@link run} resolves when it is complete. Before `run`, it releases the worker. May be called
   * again.
   */
  shutdown(): void;
  /** Shuts the worker down. Resolves when the worker has closed its connections, even if it never ran. */
  close(): Promise<void>;
  /**
   * Checks that Postgres and Temporal answer, and that the worker polls. Dead letters and backlogs do not matter. Never
   * rejects. {@link probeEndpoint} answers HTTP requests with it.
   */
  readiness(): Promise<Readiness>;
}
