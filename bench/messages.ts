/**
 * What the bench and the process of a measured system tell each other.
 *
 * @module
 */
import type { Surroundings } from './system.ts';

export type Plan =
  /** So many in flight all the time: a new one is sent when one is over. Counted between warm-up and end. */
  | { kind: 'steady'; inFlight: number; warmUpMs: number; measureMs: number }
  /** All are sent before anybody works. */
  | { kind: 'backlog'; jobs: number }
  /** All are sent at once, while it works; before that it has warmed up. */
  | { kind: 'burst'; jobs: number; warmUp: number }
  /** One at a time, each when the last one is long over. */
  | { kind: 'latency'; jobs: number; gapMs: number }
  /** Works on what another process sends. */
  | { kind: 'help' };

/** Of one job, in ms since the epoch. */
export interface Trip {
  id: string;
  sentAt: number;
  acceptedAt: number;
}

export interface Outcome {
  /** Different jobs that were sent, all of them over. */
  jobs: number;
  /** Sum of their amounts. */
  total: number;
  /** steady: jobs that were over between warm-up and end, and its length. */
  counted?: number;
  countedMs?: number;
  /** latency: after some that do not count. */
  trips?: Trip[];
  /** latency, where the system knows better than the tables: when each was over. */
  overAt?: number[];
  /** What the system says of them. */
  countDone: number;
}

export type Order =
  | { kind: 'open'; module: string; surroundings: Omit<Surroundings, 'done'> }
  | { kind: 'run'; plan: Plan }
  | { kind: 'stop' };

export type Report =
  | { kind: 'opened'; servers: number[] }
  /** The CPU between the two is the measurement's. */
  | { kind: 'begin' }
  | { kind: 'end' }
  | { kind: 'over'; outcome: Outcome }
  | { kind: 'stopped' }
  | { kind: 'failed'; error: string };
