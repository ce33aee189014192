/**
 * Slots for attempts, shared by command types: a type with very many commands, or with a slow handler, must not keep the
 * other types waiting.
 *
 * - A type that holds no slot gets the next free one. An eighth of the slots is kept free for such types.
 * - While other types wait for their share, no type takes more than its own: an equal part for each type that holds a slot
 *   or waits for one.
 * - While no other type waits, one type may use all but that eighth.
 *
 * @module
 */

/** The part of the slots that is for types which hold none. */
const KEPT_FREE = 1 / 8;

/** How many entries a scan may take. */
export interface Capacity {
  /** For all types together. */
  total: number;
  of: (type: string) => number;
}

/** Code that hands out slots. Several users can share the same slots, and each must know which types wait in the others. */
export interface SlotUser {
  /** The types that are known to wait. */
  waiting(): Iterable<string>;
  /** A slot is free again. */
  freed(): void;
}

export class TypeSlots {
  readonly #size: number;
  readonly #keptFree: number;
  readonly #held = new Map<string, number>();
  readonly #users: SlotUser[] = [];
  #used = 0;

  /** @param types - how many types may ask for a slot; for a single one, none is kept free */
  constructor(size: number, types: number) {
    this.#size = size;
    this.#keptFree = types > 1 && size > 1 ? Math.max(1, Math.round(size * KEPT_FREE)) : 0;
  }

  addUser(user: SlotUser): void {
    this.#users.push(user);
  }

  /** For metrics. More slots can be held than there are. */
  get usage(): { used: number; total: number } {
    return { used: this.#used, total: this.#size };
  }

  get free(): number {
    return Math.max(0, this.#size - this.#used);
  }

  /** Free slots without those that are kept for types which hold none. */
  get open(): number {
    return Math.max(0, this.#size - this.#keptFree - this.#used);
  }

  /** The number of slots that senders in this process leave free for commands that come through the table. */
  get keptFromSenders(): number {
    return Math.ceil(this.#size * KEPT_FREE);
  }

  heldBy(type: string): number {
    return this.#held.get(type) ?? 0;
  }

  /** Takes a slot without checking whether there is room. */
  take(type: string): void {
    this.#used += 1;
    this.#held.set(type, this.heldBy(type) + 1);
  }

  /** Takes a slot if there is room for the type. */
  tryTake(type: string): boolean {
    if (this.capacity().of(type) === 0) return false;
    this.take(type);
    return true;
  }

  /** Like {@link tryTake}, for a command that is being sent in this process: it leaves the last slots to other commands. */
  tryTakeForSender(type: string): boolean {
    if (this.heldBy(type) > 0 && this.free <= this.keptFromSenders) return false;
    return this.tryTake(type);
  }

  release(type: string): void {
    const left = this.heldBy(type) - 1;
    if (left < 0) throw new Error(`a slot of ${type} was released twice`);
    this.#used -= 1;
    if (left === 0) this.#held.delete(type);
    else this.#held.set(type, left);
    for (const user of this.#users) user.freed();
  }

  /** How many slots each type may take now. The answer is valid until the next slot is taken or released. */
  capacity(): Capacity {
    const waiting = new Set(this.#users.flatMap((user) => [...user.waiting()]));
    const competing = new Set([...this.#held.keys(), ...waiting]);
    const shareAmong = (types: number) =>
      Math.max(1, Math.floor((this.#size - this.#keptFree) / Math.max(1, types)));
    const share = shareAmong(competing.size);
    const starved = [...waiting].filter((type) => this.heldBy(type) < share);
    const of = (type: string): number => {
      // A scan of the table and a sender in this process can take slots at the same time, so more slots can be held than
      // there are. Even then a type without a slot gets one.
      if (this.free === 0) return this.heldBy(type) === 0 && this.#held.size <= this.#keptFree ? 1 : 0;
      const held = this.heldBy(type);
      const own = competing.has(type) ? share : shareAmong(competing.size + 1);
      const othersWait = starved.some((other) => other !== type);
      const most = othersWait ? Math.min(this.open, own - held) : this.open;
      return Math.max(most, held === 0 ? 1 : 0);
    };
    // At least 1, for a type without a slot; `of` is then 0 for all other types.
    return { total: this.open || this.free || 1, of };
  }
}
