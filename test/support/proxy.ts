/**
 * A TCP proxy in front of a server, to make the network fail.
 *
 * @module
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** A simple query of Postgres's protocol: its text, and the zero that ends it. */
const COMMIT = Buffer.from('commit\0');

export interface Proxy {
  port: number;
  /** From now on the connections there are say nothing any more, in either direction, and do not end. New ones work. */
  blackhole(): number;
  /** Ends the connections there are. */
  cut(): void;
  /**
   * The next connection to send COMMIT is cut: before the server gets it, or after, so that its answer is lost. Calls
   * add up.
   */
  cutNextCommit(when: 'before' | 'after'): void;
  /** How many COMMITs were cut so far. */
  readonly commitsCut: number;
  close(): Promise<void>;
}

/** `port`: of a proxy that was closed, to bring its server back. */
export async function startProxy(targetPort: number, port = 0): Promise<Proxy> {
  const pairs = new Set<[Socket, Socket]>();
  const armed: ('before' | 'after')[] = [];
  let commitsCut = 0;
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1');
    const pair: [Socket, Socket] = [client, target];
    pairs.add(pair);
    client.on('data', (chunk: Buffer) => {
      const when = armed.length > 0 && chunk.includes(COMMIT) ? armed.shift() : undefined;
      if (when) commitsCut += 1;
      if (when !== 'before') target.write(chunk);
      if (when) client.destroy();
    });
    target.pipe(client);
    for (const socket of pair) {
      socket.on('error', () => {});
      socket.on('close', () => {
        client.destroy();
        target.destroy();
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
      for (const [client, target] of pairs) {
        client.removeAllListeners('data');
        target.unpipe(client);
        client.pause();
        target.pause();
      }
      return pairs.size;
    },
    cut,
    cutNextCommit: (when) => void armed.push(when),
    get commitsCut() {
      return commitsCut;
    },
    async close() {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}
