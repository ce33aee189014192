/**
 * Ports on the loopback interface.
 *
 * @module
 */
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';

export const LOOPBACK = '127.0.0.1';

/** True when something accepts connections there. */
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

/** The first of these ports that nobody uses, or one that the system picks. */
export async function choosePort(...preferred: (number | undefined)[]): Promise<number> {
  for (const port of preferred) {
    // macOS lets one bind 127.0.0.1 while somebody else listens on every address, so binding alone is no proof.
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
 * A port that the system will not pick again within the next minute. Temporal's server picks some for itself while it
 * starts, and now and then took the very one that we had chosen for its Web UI. A connection that our side has closed
 * first stays in TIME_WAIT: Linux then hands the port out only to those who ask for it by number.
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
