/**
 * The workers of a chaos run. Each has a place, and a place says which release runs there and how it reaches Postgres; the
 * next worker in this place goes by what is set then.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { keepFleet } from '../support/worker-fleet.ts';
import type { WorkerFleet } from '../support/worker-fleet.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import type { WorkerProcess } from '../support/worker-process.ts';
import type { Release } from './releases.ts';

/** direct: to Postgres; pooler: through PgBouncer, and directly for LISTEN; pooler only: through PgBouncer. */
export const ROUTES = ['direct', 'pooler', 'pooler only'] as const;
export type Route = (typeof ROUTES)[number];

export interface Place {
  release: Release;
  route: Route;
}

export interface ChaosFleet extends WorkerFleet {
  readonly places: readonly Place[];
  /** The release of the worker that runs in this place; null while none does. */
  runningIn(place: Place): Release | null;
  /**
   * Replaces the worker of a place: the next one is of this release, and uses this route.
   *
   * @returns whether the new one runs before the time is over
   */
  replace(place: Place, next: Place, signal: NodeJS.Signals, limitMs?: number): Promise<boolean>;
}

export interface FleetOptions {
  places: Place[];
  taskQueue: string;
  databaseUrl: string;
  pooledUrl: string | null;
  env: Record<string, string>;
  /** Gets what each worker said, when it has ended. */
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
        // Replaced by something else meanwhile.
        if (place.release !== next.release) return false;
        const now = running.get(place);
        if (now && now.worker !== before && now.release === next.release) return true;
        // One that was just starting when the place was changed.
        if (now && now.worker !== before) now.worker.kill(signal);
        if (Date.now() > deadline) return false;
        await sleep(100);
      }
    },
  };
}
