/**
 * A TCP proxy in front of a server, to make the network fail.
 *
 * @module
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export interface Proxy {
  port: number;
  /** From now on the connections there are say nothing any more, in either direction, and do not end. New ones work. */
  blackhole(): number;
  /** Ends the connections there are. */
  cut(): void;
  close(): Promise<void>;
}

/** `port`: of a proxy that was closed, to bring its server back. */
export async function startProxy(targetPort: number, port = 0): Promise<Proxy> {
  const pairs = new Set<[Socket, Socket]>();
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1');
    const pair: [Socket, Socket] = [client, target];
    pairs.add(pair);
    client.pipe(target);
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
        client.unpipe(target);
        target.unpipe(client);
        client.pause();
        target.pause();
      }
      return pairs.size;
    },
    cut,
    async close() {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}
