/**
 * A TCP proxy that simulates network failures in front of a server.
 *
 * @module
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** COMMIT in a simple query of Postgres's protocol: ended by a zero byte, or followed by more statements in one message. */
const COMMITS = [Buffer.from('commit\0'), Buffer.from('commit; ')];
/** The message ReadyForQuery, without its last byte, the transaction status. */
const READY = Buffer.from('Z\0\0\0\x05');

/** Cuts the connection or holds the data back, before the server gets a COMMIT or after, when its answer is on the way. */
export type CommitFault =
  | { when: 'before' | 'after'; how: 'cut' }
  | { when: 'before' | 'after'; holdMs: number };

export interface Proxy {
  port: number;
  /** Stops all data on the current connections without closing them. New connections work. Returns how many were stopped. */
  blackhole(): number;
  /** Closes the current connections. */
  cut(): void;
  /** From now on delays all data in each direction by this many milliseconds; 0 ends the delay. */
  slow(delayMs: number): void;
  /** Applies the fault to the next COMMIT of any connection. Each call affects one more COMMIT. */
  disturbNextCommit(fault: CommitFault): void;
  /**
   * The round trips so far of all clients with this application_name, without those that open a connection: how often a
   * client sent something after an answer. Only reliable under {@link slow}, where no answer arrives while the client is
   * still sending.
   */
  turns(applicationName: string): number;
  /** The number of COMMITs that were cut, and held back, so far. */
  readonly commitsCut: number;
  readonly commitsHeld: number;
  close(): Promise<void>;
}

/** `port` is the port of a proxy that was closed, to make its server reachable again. By default a free port. */
export async function startProxy(targetPort: number, port = 0): Promise<Proxy> {
  const pairs = new Set<[Socket, Socket]>();
  const pendingFaults: CommitFault[] = [];
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
      // The first message of a connection contains the client's name.
      name ??= /application_name\0([^\0]*)/.exec(chunk.toString('latin1'))?.[1] ?? '';
      if (ready && answered) turns.set(name, (turns.get(name) ?? 0) + 1);
      answered = false;
      const fault =
        pendingFaults.length > 0 && COMMITS.some((commit) => chunk.includes(commit))
          ? pendingFaults.shift()!
          : null;
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
        // Data that was sent last, such as the server's reason for closing, still arrives.
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
    disturbNextCommit: (fault) => void pendingFaults.push(fault),
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

/** One direction of a connection. Delayed data keeps its order. */
class Pipe {
  readonly #to: Socket;
  #last: Promise<void> | null = null;

  constructor(to: Socket) {
    this.#to = to;
  }

  /** Holds back all data for this long. */
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
