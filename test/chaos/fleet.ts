/**
 * The workers of a chaos run. Each worker has a place, which determines its release and its route to Postgres. The next
 * worker of a place uses the settings that the place has by then.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { keepFleet } from '../support/worker-fleet.ts';
import type { WorkerFleet } from '../support/worker-fleet.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import type { WorkerProcess } from '../support/worker-process.ts';
import type { Release } from './releases.ts';

/**
 * `direct`: straight to Postgres; `pooler`: through PgBouncer, but directly for LISTEN; `pooler only`: all through
 * PgBouncer.
 */
export const ROUTES = ['direct', 'pooler', 'pooler only'] as const;
export type Route = (typeof ROUTES)[number];

export interface Place {
  release: Release;
  route: Route;
}

export interface ChaosFleet extends WorkerFleet {
  readonly places: readonly Place[];
  /** The release of the worker that runs in this place, or null if none runs. */
  runningIn(place: Place): Release | null;
  /**
   * Replaces the worker of a place by one with the release and the route of `next`.
   *
   * @returns true if the new worker runs within the time limit
   */
  replace(place: Place, next: Place, signal: NodeJS.Signals, limitMs?: number): Promise<boolean>;
}

export interface FleetOptions {
  places: Place[];
  taskQueue: string;
  databaseUrl: string;
  pooledUrl: string | null;
  env: Record<string, string>;
  /** Called with the log of each worker that has ended. */
  onEnd: (name: string, log: string) => void;
}

const REPLACE_LIMIT_MS = 60_000;

export function startChaosFleet(options: FleetOptions): ChaosFleet {
  const { places, taskQueue, databaseUrl, pooledUrl, env, onEnd } = options;
  const running = new Map<Place, { worker: WorkerProcess; release: Release }>();
  let started = 0;

  async function start(place: Place): Promise<WorkerProcess> {
    const { release, route } = place;
    const url = route === 'direct' || pooledUrl === null ? databaseUrl : pooledUrl;
    const worker = await startWorkerProcess(
      { database: { url }, taskQueue },
      release.commands,
      {
        ...env,
        CHAOS_RELEASE: release.name,
        INBOX_DIRECT_URL: route === 'pooler' ? databaseUrl : '',
        TEMPORAL_DEBUG: '',
      },
      ['--build-id', release.name, '--publish', release.publisher],
      release.cli,
    );
    started += 1;
    const name = `${String(started).padStart(4, '0')}-${release.name}-${route.replace(' ', '-')}`;
    const mine = { worker, release };
    running.set(place, mine);
    void worker.ended.then(() => {
      if (running.get(place) === mine) running.delete(place);
      onEnd(name, worker.log());
    });
    return worker;
  }

  const fleet = keepFleet(places.length, (number) => start(places[number]!));
  return {
    places,
    get deaths() {
      return fleet.deaths;
    },
    get workers() {
      return fleet.workers;
    },
    stop: () => fleet.stop(),
    runningIn: (place) => running.get(place)?.release ?? null,
    async replace(place, next, signal, limitMs = REPLACE_LIMIT_MS) {
      const before = running.get(place)?.worker;
      Object.assign(place, next);
      before?.kill(signal);
      const deadline = Date.now() + limitMs;
      for (;;) {
        // Another replacement has changed the place in the meantime.
        if (place.release !== next.release) return false;
        const now = running.get(place);
        if (now && now.worker !== before && now.release === next.release) return true;
        // This worker was already starting when the place was changed.
        if (now && now.worker !== before) now.worker.kill(signal);
        if (Date.now() > deadline) return false;
        await sleep(100);
      }
    },
  };
}
