/**
 * A NATS server with JetStream for one test file, on the loopback interface.
 *
 * @module
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { JsMsg, StreamConfig } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { choosePort, isListening, LOOPBACK } from '../../src/dev/process/ports.ts';
import { supervise } from '../../src/dev/process/supervise.ts';
import type { Supervised } from '../../src/dev/process/supervise.ts';
import { findNatsServer } from './nats-binary.ts';
import { eventually } from './wait.ts';

const NATS_USER = 'inbox';
/** Contains characters that are special in a URL. It is also a canary that must not appear in any log. */
export const NATS_PASSWORD = 'p@ss:word/canary-4417';

export interface TestNats {
  /** Includes the password. */
  url: string;
  connect(): Promise<NatsConnection>;
  addStream(config: Partial<StreamConfig> & { name: string; subjects: string[] }): Promise<void>;
  /** Does nothing if the stream does not exist. */
  removeStream(name: string): Promise<void>;
  /** The number of messages in the stream. */
  count(stream: string): Promise<number>;
  /** All messages of the stream, in order. */
  read(stream: string): Promise<JsMsg[]>;
  /** Stops the server and keeps its data. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

export async function startNats(): Promise<TestNats> {
  const binary = await findNatsServer({ log: (line) => process.stderr.write(`${line}\n`) });
  const folder = await mkdtemp(join(tmpdir(), 'inbox-nats-'));
  const port = await choosePort();
  const config = join(folder, 'nats.conf');
  await writeFile(
    config,
    `host: ${LOOPBACK}, port: ${port}, max_payload: 64KB, jetstream { store_dir: ${JSON.stringify(folder)} }
     authorization { user: ${NATS_USER}, password: ${JSON.stringify(NATS_PASSWORD)} }\n`,
  );
  let server: Supervised | null = null;

  async function start(): Promise<void> {
    const started = await supervise({
      command: binary,
      args: ['--config', config],
      env: process.env,
      cwd: folder,
      logFile: join(folder, 'nats.log'),
      removeWhenOrphaned: [folder],
    });
    server = started;
    await eventually('nats-server listens', async () => {
      if (started.exit) throw new Error(`nats-server exited: ${await started.readLog()}`);
      return isListening(port);
    });
  }
  async function stop(): Promise<void> {
    await server?.stop();
    server = null;
  }
  const url = `nats://${NATS_USER}:${encodeURIComponent(NATS_PASSWORD)}@${LOOPBACK}:${port}`;
  const connectTo = { servers: `${LOOPBACK}:${port}`, user: NATS_USER, pass: NATS_PASSWORD };
  const withConnection = async <T>(work: (connection: NatsConnection) => Promise<T>): Promise<T> => {
    const connection = await connect(connectTo);
    try {
      return await work(connection);
    } finally {
      await connection.close();
    }
  };
  await start();
  return {
    url,
    connect: () => connect(connectTo),
    addStream: (stream) =>
      withConnection(async (connection) => {
        await (await jetstreamManager(connection)).streams.add(stream);
      }),
    removeStream: (name) =>
      withConnection(async (connection) => {
        const { streams } = await jetstreamManager(connection);
        for await (const found of streams.list()) if (found.config.name === name) await streams.delete(name);
      }),
    count: (stream) =>
      withConnection(async (connection) => {
        const { state } = await (await jetstreamManager(connection)).streams.info(stream);
        return state.messages;
      }),
    read: (stream) => withConnection((connection) => readStream(connection, stream)),
    stop,
    start,
    async close() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function readStream(connection: NatsConnection, stream: string): Promise<JsMsg[]> {
  const found: JsMsg[] = [];
  const { state } = await (await jetstreamManager(connection)).streams.info(stream);
  if (state.messages === 0) return found;
  const consumer = await jetstream(connection).consumers.get(stream, { deliver_policy: DeliverPolicy.All });
  const messages = await consumer.consume();
  for await (const message of messages) {
    found.push(message);
    if (message.info.pending === 0) break;
  }
  return found;
}
