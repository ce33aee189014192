/**
 * Shows the progress of starting the servers, but only if that takes long. The first start downloads or builds Temporal's
 * server.
 *
 * @module
 */

const QUIET_MS = 5_000;

export class SlowProgress {
  #held: string[] | null = [];
  readonly #timer = setTimeout(() => this.#show(), QUIET_MS);

  add(line: string): void {
    if (this.#held) this.#held.push(line);
    else write(line);
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #show(): void {
    for (const line of this.#held ?? []) write(line);
    this.#held = null;
  }
}

function write(line: string): void {
  process.stderr.write(`temporal-inbox/testing: ${line}\n`);
}
