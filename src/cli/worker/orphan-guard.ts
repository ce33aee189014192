/**
 * A thread of a supervised worker. Kills the process if the supervisor is gone and the worker does not drain in time.
 *
 * @module
 */
import { Socket } from 'node:net';
import { workerData } from 'node:worker_threads';

/** The worker itself forces its shutdown 10 s after the grace time. This guard waits longer than that. */
const MARGIN_MS = 12_000;

const { fd, graceMs } = workerData as { fd: number; graceMs: number };
// A socket, because a file stream would block one of libuv's few I/O threads forever.
const lifeline = new Socket({ fd });
lifeline.on('error', () => {});
lifeline.once('close', () => setTimeout(() => process.kill(process.pid, 'SIGKILL'), graceMs + MARGIN_MS));
lifeline.resume();
