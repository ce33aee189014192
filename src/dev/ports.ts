/**
 * Ports on the loopback interface.
 *
 * @module
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

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
    if (port !== undefined && !(await isListening(port)) && (await tryBind(port)) !== null) return port;
  }
  const port = await tryBind(0);
  if (port === null) throw new Error(`no free port on ${LOOPBACK}; close programs that listen there`);
  return port;
}

async function tryBind(port: number): Promise<number | null> {
  const server = createServer();
  try {
    server.listen({ port, host: LOOPBACK, exclusive: true });
    await once(server, 'listening');
    const address = server.address();
    return typeof address === 'object' ? (address?.port ?? null) : null;
  } catch {
    return null;
  } finally {
    server.close();
  }
}
