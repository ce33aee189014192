/**
 * Where the outbox relay starts to read. Everything below the floor was published or parked, except what was committed late;
 * a look from the oldest event finds that, as often as 2 % of the time allow. See `floors.ts` for why.
 *
 * @module
 */
export interface OutboxLook {
  /** Position to read from; 0 is the oldest. */
  from: number;
  beganMs: number;
}

/** Positions that were read less than this long ago may still have neighbors that are about to commit. */
const MARGIN_MS = 1_000;
const FULL_LOOK_FACTOR = 50;
const FULL_LOOK_LIMITS = { minimumMs: 1_000, maximumMs: 10_000 };

export class OutboxFloor {
  /** Highest positions that were settled, with the time; the first one is the floor, the others will be. */
  #settled: { position: number; atMs: number }[] = [];
  #fullLookAtMs = Number.NEGATIVE_INFINITY;

  /** The next look; times are of a monotonic clock, in ms. */
  begin(nowMs: number): OutboxLook {
    if (nowMs >= this.#fullLookAtMs) return { from: 0, beganMs: nowMs };
    while (this.#settled.length > 1 && this.#settled[1]!.atMs <= nowMs - MARGIN_MS) this.#settled.shift();
    const [first] = this.#settled;
    const isOld = first !== undefined && first.atMs <= nowMs - MARGIN_MS;
    return { from: isOld ? first.position : 0, beganMs: nowMs };
  }

  /** All events of the look are published or parked. */
  end({ from, beganMs }: OutboxLook, events: readonly { position: number }[], nowMs: number): void {
    if (from === 0) {
      const { minimumMs, maximumMs } = FULL_LOOK_LIMITS;
      const pauseMs = Math.min(Math.max((nowMs - beganMs) * FULL_LOOK_FACTOR, minimumMs), maximumMs);
      this.#fullLookAtMs = nowMs + pauseMs;
    }
    const newest = events.at(-1)?.position;
    const last = this.#settled.at(-1);
    if (newest === undefined || newest <= (last?.position ?? 0)) return;
    // Several within a tenth of the margin are one.
    if (last && this.#settled.length > 1 && nowMs - last.atMs < MARGIN_MS / 10) last.position = newest;
    else this.#settled.push({ position: newest, atMs: nowMs });
  }
}
