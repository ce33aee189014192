/**
 * Queues the operators' requests, in order, until there is a dead letter that they apply to.
 *
 * @module
 */
import type { ReplayRequest } from '../src/core/protocol.ts';

export interface OperatorRequest {
  kind: 'replay' | 'discard';
  /** Not validated: a signal can contain anything. Empty if the signal had no argument. */
  request: ReplayRequest;
}

/**
 * A request that arrives before the dead letter exists waits for it. A replay request that arrives during a replay is
 * ignored as a duplicate: pressing the button twice replays once, no matter whether the first press has already taken
 * effect.
 */
export class OperatorRequests {
  readonly #waiting: OperatorRequest[] = [];
  #replayed = false;
  #replaying = false;

  get waiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** True if this run of the workflow has replayed the entry. */
  get replayed(): boolean {
    return this.#replayed;
  }

  add(request: { kind: OperatorRequest['kind']; request: ReplayRequest | undefined }): void {
    if (request.kind === 'replay' && this.#replaying) return;
    this.#waiting.push({ kind: request.kind, request: request.request ?? {} });
  }

  take(): OperatorRequest | undefined {
    return this.#waiting.shift();
  }

  /** Until {@link endReplay}, other replay requests are duplicates of this one. */
  beginReplay(): void {
    this.#replayed = true;
    this.#replaying = true;
    const others = this.#waiting.filter((request) => request.kind !== 'replay');
    this.#waiting.splice(0, this.#waiting.length, ...others);
  }

  endReplay(): void {
    this.#replaying = false;
  }
}
