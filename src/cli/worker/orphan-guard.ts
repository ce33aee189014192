/**
 * A thread of a supervised worker: ends the process when the supervisor is gone and the worker has not drained.
 *
 * @module
 */
import { Socket } from 'node:net';
import { workerData } from 'node:worker_threads';

/** The worker ends by force what did not listen, 10 s after its grace time; then it is our turn. */
const MARGIN_MS = 12_000;

const { fd, graceMs } = workerData as { fd: number; graceMs: number };
// A socket and not a stream of a file: that would hold one of the process's few threads for input and output for ever.
const lifeline = new Socket({ fd });
lifeline.on('error', () => {});
lifeline.once('close', () => setTimeout(() => process.kill(process.pid, 'SIGKILL'), graceMs + MARGIN_MS));
lifeline.resume();
