/**
 * The interface of a measured system. Each system runs in its own process (`host.ts`), which is both sender and worker,
 * and has its own database on the same Postgres server.
 *
 * The job is the same for all systems: accept a command once by its id; then, in one Postgres transaction, add its amount
 * to an account, write one outbox event, and mark the command as done.
 *
 * @module
 */

export interface Job {
  /** The command's id. The command is accepted once, no matter how often it is sent. */
  id: string;
  /** From 1 to {@link ACCOUNTS}. */
  account: number;
  amount: number;
}

export interface SystemContext {
  /** A database for this system only, with the tables of `tables.ts`. */
  databaseUrl: string;
  /** `host:port` of Temporal. Its namespace has the inbox's search attributes. */
  temporalAddress: string;
  /** A task queue for this measurement only. */
  taskQueue: string;
  /** A folder that is deleted after the measurement. */
  folder: string;
  /** Maximum number of jobs in flight, for systems that size their pools by it. */
  inFlight: number;
  /** Additional settings of one measurement, such as the number of the inbox's slots. */
  settings: Record<string, string>;
  /**
   * The system calls this once for each finished job, as soon as its process knows that the transaction has committed. If
   * the system does not report the commit, it calls this when the handler returns.
   */
  done: (id: string) => void;
}

export interface System {
  /** Creates the system's tables and connects. The system does not work on jobs before {@link RunningSystem.work}. */
  open(context: SystemContext): Promise<RunningSystem>;
}

export interface RunningSystem {
  /** Resolves when the job is durably accepted. Sending the same id again is not an error and has no effect. */
  send(job: Job): Promise<void>;
  /** Sends many jobs in the fastest way that the system offers. Only needed for systems that are measured with a burst. */
  sendAll?(jobs: Job[]): Promise<void>;
  /** Resolves when the system works on jobs. */
  work(): Promise<void>;
  /** Returns when each job finished, in ms since the epoch, for systems that write nothing to the job's tables. */
  finishedAt?(ids: readonly string[]): Promise<number[]>;
  /** Process ids of servers that the system started for itself. Their CPU time is measured. */
  servers?: number[];
  /** Returns the number of finished jobs according to the system itself. It must equal the number of jobs that were sent. */
  countDone(): Promise<number>;
  stop(): Promise<void>;
}

export const ACCOUNTS = 1_000;
