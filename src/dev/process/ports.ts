/**
 * Ports on the loopback interface.
 *
 * @module
 */
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';

export const LOOPBACK = '127.0.0.1';

/** Returns true when a server accepts connections on the port. */
export async function isListening(port: number): Promise<boolean> {
  const socket = connect({ port, host: LOOPBACK });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Returns the first of these ports that is free, otherwise a port that the operating system picks. */
export async function choosePort(...preferred: (number | undefined)[]): Promise<number> {
  for (const port of preferred) {
    // macOS allows a bind to 127.0.0.1 while another process listens on every address, so canBind alone is no proof.
    if (port !== undefined && !(await isListening(port)) && (await canBind(port))) return port;
  }
  return pickPort();
}

async function canBind(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await listen(server, port);
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/**
 * Picks a port that the operating system will not pick again within the next minute. Temporal's server picks ports for
 * itself during startup and occasionally took the one chosen here for its Web UI. A connection that this side closes
 * first stays in TIME_WAIT, and until that ends Linux assigns the port only to processes that request it by number.
 *
 * Source: `get_free_port` in Temporal's SDK Core.
 */
async function pickPort(): Promise<number> {
  const server = createServer((socket) => socket.destroy());
  try {
    const port = await listen(server, 0);
    const client = connect({ port, host: LOOPBACK });
    client.resume();
    await once(client, 'close');
    return port;
  } finally {
    server.close();
  }
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen({ port, host: LOOPBACK, exclusive: true });
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server without a port');
  return address.port;
}
