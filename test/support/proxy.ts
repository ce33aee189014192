/**
 * A TCP proxy in front of a server, to make the network fail.
 *
 * @module
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A simple query of Postgres's protocol: its text, and the zero that ends it; or what is sent behind it in one message. */
const COMMITS = [Buffer.from('commit\0'), Buffer.from('commit; ')];
/** ReadyForQuery, without the byte that says in which state. */
const READY = Buffer.from('Z\0\0\0\x05');

/** What befalls a COMMIT before the server gets it, or after, when its answer is on the way back. */
export type CommitFault =
  | { when: 'before' | 'after'; how: 'cut' }
  | { when: 'before' | 'after'; holdMs: number };

export interface Proxy {
  port: number;
  /** From now on the connections there are say nothing any more, in either direction, and do not end. New ones work. */
  blackhole(): number;
  /** Ends the connections there are. */
  cut(): void;
  /** From now on everything takes so many milliseconds longer in each direction; 0 ends it. */
  slow(delayMs: number): void;
  /** The next COMMIT of any connection meets this. Calls add up. */
  disturbNextCommit(fault: CommitFault): void;
  /**
   * How often the clients of this name (Postgres's application_name) have said something after an answer, so far: their round
   * trips, without those of a connection's beginning. Only under {@link slow}, where no answer overtakes what is still being
   * said.
   */
  turns(applicationName: string): number;
  /** How many COMMITs were cut, and held, so far. */
  readonly commitsCut: number;
  readonly commitsHeld: number;
  close(): Promise<void>;
}

/** `port`: of a proxy that was closed, to bring its server back. */
export async function startProxy(targetPort: number, port = 0): Promise<Proxy> {
  const pairs = new Set<[Socket, Socket]>();
  const armed: CommitFault[] = [];
  let delayMs = 0;
  let commitsCut = 0;
  let commitsHeld = 0;
  const turns = new Map<string, number>();
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1');
    const pair: [Socket, Socket] = [client, target];
    pairs.add(pair);
    const toServer = new Pipe(target);
    const toClient = new Pipe(client);
    let name: string | undefined;
    let ready = false;
    let answered = true;
    client.on('data', (chunk: Buffer) => {
      // The first that is said is who it is.
      name ??= /application_name\0([^\0]*)/.exec(chunk.toString('latin1'))?.[1] ?? '';
      if (ready && answered) turns.set(name, (turns.get(name) ?? 0) + 1);
      answered = false;
      const fault =
        armed.length > 0 && COMMITS.some((commit) => chunk.includes(commit)) ? armed.shift()! : null;
      if (fault && 'how' in fault) {
        commitsCut += 1;
        if (fault.when === 'after') target.write(chunk);
        client.destroy();
        return;
      }
      if (fault) commitsHeld += 1;
      if (fault?.when === 'after') toClient.hold(fault.holdMs);
      if (fault?.when === 'before') toServer.hold(fault.holdMs);
      toServer.pass(chunk, delayMs);
    });
    target.on('data', (chunk: Buffer) => {
      ready ||= chunk.subarray(-6, -1).equals(READY);
      toClient.pass(chunk, delayMs, () => (answered = true));
    });
    for (const socket of pair) {
      socket.on('error', () => {});
      socket.on('close', () => {
        // What was said last, such as why the server hangs up, still arrives.
        client.destroySoon();
        target.destroySoon();
        pairs.delete(pair);
      });
    }
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');

  const cut = () => {
    for (const [client] of pairs) client.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    blackhole() {
      for (const pair of pairs) {
        for (const socket of pair) {
          socket.removeAllListeners('data');
          socket.pause();
        }
      }
      return pairs.size;
    },
    cut,
    slow: (ms) => void (delayMs = ms),
    turns: (applicationName) => turns.get(applicationName) ?? 0,
    disturbNextCommit: (fault) => void armed.push(fault),
    get commitsCut() {
      return commitsCut;
    },
    get commitsHeld() {
      return commitsHeld;
    },
    async close() {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}

/** One direction of a connection: what is passed on later keeps its order. */
class Pipe {
  readonly #to: Socket;
  #last: Promise<void> | null = null;

  constructor(to: Socket) {
    this.#to = to;
  }

  /** Nothing passes for so long. */
  hold(ms: number): void {
    this.#later(() => sleep(ms));
  }

  pass(chunk: Buffer, delayMs: number, passed = () => {}): void {
    const write = () => {
      passed();
      this.#to.write(chunk);
    };
    if (delayMs === 0 && this.#last === null) write();
    else this.#later(() => sleep(delayMs).then(write));
  }

  #later(step: () => Promise<void>): void {
    const last = (this.#last ?? Promise.resolve()).then(step).then(() => {
      if (this.#last === last) this.#last = null;
    });
    this.#last = last;
  }
}
