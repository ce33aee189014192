/**
 * The messages between the benchmark and the process of a measured system.
 *
 * @module
 */
import type { SystemContext } from './system.ts';

export type Plan =
  /** A constant number of jobs in flight: each finished job is replaced. Counts jobs between the warm-up and the end. */
  | { kind: 'steady'; inFlight: number; warmUpMs: number; measureMs: number }
  /** All jobs are sent before the system starts to work. */
  | { kind: 'backlog'; jobs: number }
  /** After a warm-up, all jobs are sent at once while the system works. */
  | { kind: 'burst'; jobs: number; warmUp: number }
  /** One job at a time, with a gap after each. */
  | { kind: 'latency'; jobs: number; gapMs: number }
  /** Works on jobs that another process sends. */
  | { kind: 'help' };

/** The times of one job, in ms since the epoch. */
export interface JobTiming {
  id: string;
  sentAt: number;
  acceptedAt: number;
}

export interface Outcome {
  /** Number of different jobs that were sent. All of them have finished. */
  jobs: number;
  /** Sum of their amounts. */
  total: number;
  /** steady: number of jobs that finished between the warm-up and the end. */
  counted?: number;
  /** steady: length of that period. */
  countedMs?: number;
  /** latency: the times of the jobs after the warm-up. */
  timings?: JobTiming[];
  /** latency: when each job finished, for systems that know this more exactly than the job's tables. */
  finishedAt?: number[];
  /** Number of finished jobs according to the system itself. */
  countDone: number;
}

export type Order =
  | { kind: 'open'; module: string; context: Omit<SystemContext, 'done'> }
  | { kind: 'run'; plan: Plan }
  | { kind: 'stop' };

export type Report =
  | { kind: 'opened'; servers: number[] }
  /** The CPU time between `begin` and `end` is measured. */
  | { kind: 'begin' }
  | { kind: 'end' }
  | { kind: 'over'; outcome: Outcome }
  | { kind: 'stopped' }
  | { kind: 'failed'; error: string };
