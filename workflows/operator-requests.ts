/**
 * What operators asked for, in order, until there is a dead letter to do it to.
 *
 * @module
 */
import type { ReplayRequest } from '../src/core/protocol.ts';

export interface OperatorRequest {
  kind: 'replay' | 'discard';
  /** Not checked: a signal can bring anything, and `undefined` when it came without an argument. */
  request: ReplayRequest;
}

/**
 * A request that comes before the dead letter exists is kept and acts when it does. A replay that is asked for while
 * another one runs is that replay: pressing the button twice replays once, whether or not the first press has had its
 * effect by then.
 */
export class OperatorRequests {
  readonly #waiting: OperatorRequest[] = [];
  #replayed = false;
  #replaying = false;

  get waiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Whether the entry was replayed in this run of the workflow. */
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

  /** From here until {@link endReplay}, replays are this one. */
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
