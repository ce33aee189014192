/**
 * What every measured system has to offer. Each runs in a process of its own (`host.ts`), sender and worker in one, with a
 * database of its own on the same Postgres.
 *
 * The job is the same everywhere: accept a command once by its id; then, in one Postgres transaction, add its amount to an
 * account, write one outbox event, and mark it done.
 *
 * @module
 */

export interface Job {
  /** The command's id: accepted once, however often it is sent. */
  id: string;
  /** From 1 to {@link ACCOUNTS}. */
  account: number;
  amount: number;
}

export interface Surroundings {
  /** A database of this system's own, with the tables of `tables.ts` in it. */
  databaseUrl: string;
  /** `host:port` of Temporal; its namespace has the inbox's search attributes. */
  temporalAddress: string;
  /** Of this run alone. */
  taskQueue: string;
  /** A folder that is deleted afterwards. */
  folder: string;
  /** Jobs in flight at most, for those who like to know. */
  inFlight: number;
  /** Extra settings of one measurement, such as the number of an inbox's slots. */
  settings: Record<string, string>;
  /**
   * To be called once for each job that is over, as soon as this process knows: its transaction was committed, or its
   * handler has returned where nobody tells of the commit.
   */
  done: (id: string) => void;
}

export interface System {
  /** Makes what it needs in the database, and connects. Nothing is worked on before {@link Running.work}. */
  open(surroundings: Surroundings): Promise<Running>;
}

export interface Running {
  /** Resolves when the job was accepted for good. The same id again is no error, and has no effect. */
  send(job: Job): Promise<void>;
  /** Many at once, in the quickest way that the system offers. Only for systems that are measured with a burst. */
  sendAll?(jobs: Job[]): Promise<void>;
  /** Resolves when jobs are being worked on. */
  work(): Promise<void>;
  /** When each was over, as ms since the epoch, for systems that leave no trace in the job's tables. */
  overAt?(ids: readonly string[]): Promise<number[]>;
  /** Process ids of servers that it started for itself, for the CPU they take. */
  servers?: number[];
  /** Jobs that the system itself says are done, after {@link work} has settled them. Checked against what was sent. */
  countDone(): Promise<number>;
  stop(): Promise<void>;
}

export const ACCOUNTS = 1_000;
