/**
 * The probes of a worker. Liveness: its event loop turns. Readiness: it reaches Postgres and Temporal, and polls. Dead
 * letters and backlogs never make a probe fail, because a restart would not help.
 *
 * @module
 */
import { withTimeout } from '../platform/deadline.ts';
import { errorFields } from '../platform/postgres-errors.ts';

export interface ReadinessCheck {
  name: 'postgres' | 'temporal' | 'polling';
  ok: boolean;
  /** Describes the failure to people. Only if the check failed. */
  problem?: string;
}

export interface Readiness {
  ready: boolean;
  checks: ReadinessCheck[];
}

/** The answer to a probe over HTTP. */
export interface ProbeAnswer {
  status: 200 | 503;
  body: { status: 'ok' | 'unavailable'; checks?: ReadinessCheck[] };
}

export interface ReadinessSources {
  /** Rejects if Postgres does not answer. */
  postgres: () => Promise<unknown>;
  /** Rejects if Temporal does not answer. */
  temporal: () => Promise<unknown>;
  /** Says why the worker does not poll; null if it does. */
  polling: () => string | null;
}

/** How long each server may take to answer. Kubernetes waits a second by default, so probes need `timeoutSeconds: 5`. */
const LIMIT_MS = 3_000;
/** Several requests within this time get the same answer, so that probes cannot burden the servers. */
const FRESH_MS = 1_000;

/** Returns a function that checks the sources. It never rejects. */
export function createReadiness({ postgres, temporal, polling }: ReadinessSources): () => Promise<Readiness> {
  let last: { at: number; readiness: Promise<Readiness> } | undefined;
  async function check(): Promise<Readiness> {
    const checks = await Promise.all([checkAnswer('postgres', postgres), checkAnswer('temporal', temporal)]);
    checks.push(checkPolling(polling()));
    return { ready: checks.every(({ ok }) => ok), checks };
  }
  return () => {
    const now = performance.now();
    if (!last || now - last.at >= FRESH_MS) last = { at: now, readiness: check() };
    return last.readiness;
  };
}

async function checkAnswer(
  name: ReadinessCheck['name'],
  ask: () => Promise<unknown>,
): Promise<ReadinessCheck> {
  const work = async () => {
    await ask();
    return { name, ok: true };
  };
  const late = () => ({ name, ok: false, problem: `no answer within ${LIMIT_MS / 1_000} s` });
  return withTimeout(LIMIT_MS, work, late).catch((error: unknown) => ({
    name,
    ok: false,
    problem: problemOf(error),
  }));
}

/** Says as much as the log would: the messages of failed connections, and the classes of other errors. */
function problemOf(error: unknown): string {
  const { error: name, sqlstate, code, reason } = errorFields(error);
  return [name, sqlstate, code, reason].filter((part) => part !== undefined).join(' ');
}

function checkPolling(problem: string | null): ReadinessCheck {
  return problem === null ? { name: 'polling', ok: true } : { name: 'polling', ok: false, problem };
}

/** An answer proves that the event loop turns. While it hangs, there is none, and the probe fails by its time limit. */
export function livezAnswer(): ProbeAnswer {
  return { status: 200, body: { status: 'ok' } };
}

export function readyzAnswer({ ready, checks }: Readiness): ProbeAnswer {
  return { status: ready ? 200 : 503, body: { status: ready ? 'ok' : 'unavailable', checks } };
}
