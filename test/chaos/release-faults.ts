/**
 * Workers of two releases replace each other, as in unfinished rolling deploys and rollbacks.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { TYPES_OF_ONE_RELEASE } from './bank.ts';
import type { ReleaseName } from './bank.ts';
import type { Fault, Scene } from './fault.ts';
import { ROUTES } from './fleet.ts';
import type { Place } from './fleet.ts';
import type { Random } from './random.ts';
import type { Release } from './releases.ts';

export const RELEASE_FAULTS: Record<string, Fault> = {
  'a worker replaced by one of the other release': {
    weight: 10,
    async run({ fleet, releases, background }, random) {
      if (releases.length < 2) return false;
      const place = random.pick(fleet.places);
      const next = otherPlace(place, releases, random);
      const signal = random.chance(0.5) ? 'SIGTERM' : 'SIGKILL';
      background.start(async () => void (await fleet.replace(place, next, signal)));
      return true;
    },
  },
  'all workers replaced by one release': { weight: 5, run: deploy },
};

function otherPlace(place: Place, releases: readonly Release[], random: Random): Place {
  const release = releases.find((other) => other !== place.release) ?? place.release;
  return { release, route: random.pick(ROUTES) };
}

/**
 * Replaces one worker after another. Commands that only the other release knows must then wait without using up attempts.
 */
async function deploy(scene: Scene, random: Random): Promise<boolean> {
  const { fleet, releases, pool } = scene;
  if (releases.length < 2) return false;
  const release = random.pick(releases);
  for (const place of fleet.places) {
    if (fleet.runningIn(place) === release && place.release === release) continue;
    const replaced = await fleet.replace(place, { ...place, release }, 'SIGTERM');
    if (!replaced) return false;
  }
  const other = release.name === 'newer' ? 'older' : 'newer';
  // Transactions of a worker that has ended can still be in progress in a pooler.
  await sleep(1_000);
  const before = await readWaiting(pool, other);
  await sleep(2_000 + random.below(4_000));
  const isAlone = fleet.places.every((place) => place.release === release);
  if (!isAlone) return true;
  const after = await readWaiting(pool, other);
  for (const example of changedEntries(before, after)) {
    scene.reportViolation('16a no attempt by workers that do not know the type', example);
  }
  scene.count('commands seen waiting for a release that knows them', before.length);
  return true;
}

/** Gives every type a worker that knows it, as the checker needs. Returns false if a worker does not start in time. */
export async function restoreBothReleases({ fleet, releases }: Scene): Promise<boolean> {
  const replaced = await Promise.all(
    fleet.places.map(async (place, number) => {
      const release = releases[number % releases.length]!;
      if (place.release === release) return true;
      return fleet.replace(place, { ...place, release }, 'SIGTERM');
    }),
  );
  return replaced.every(Boolean);
}

export interface Waiting {
  message_id: string;
  status: string;
  attempts: number;
  retry_count: number;
}

/** Reads the waiting commands that only this release knows. `attempts` leaves out attempts that were given back. */
async function readWaiting(pool: Pool, release: ReleaseName): Promise<Waiting[]> {
  const { rows } = await pool.query<Waiting>(
    `select message_id, status, attempt - given_back as attempts, retry_count from inbox.entries
     where command_type = any ($1) and status in ('Pending', 'Failed')`,
    [TYPES_OF_ONE_RELEASE[release]],
  );
  return rows;
}

/** The entries that changed although no worker knew their type. */
export function changedEntries(
  before: readonly Waiting[],
  after: readonly Waiting[],
): Record<string, unknown>[] {
  const now = new Map(after.map((entry) => [entry.message_id, entry]));
  return before.flatMap((entry) => {
    const found = now.get(entry.message_id);
    const same = found?.attempts === entry.attempts && found.retry_count === entry.retry_count;
    return same ? [] : [{ ...entry, now: found ?? null }];
  });
}
