/**
 * Reports the sizes of a process's JavaScript heaps to another process: `node --import heap-reports.js` with HEAP_REPORTS
 * set to a folder. Each thread has its own heap and writes its own file; workflows run in a separate thread.
 *
 * @module
 */
import { openSync, writeSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getHeapStatistics } from 'node:v8';
import { threadId } from 'node:worker_threads';

const VARIABLE = 'HEAP_REPORTS';
const EVERY_MS = 1_000;
/** A report is the smallest of this many readings, which is mostly the size right after a garbage collection. */
const READINGS = 10;

/** The environment variables that make a process report. */
export function reportHeapTo(folder: string): Record<string, string> {
  return { [VARIABLE]: folder, NODE_OPTIONS: `--import=${import.meta.url}` };
}

/** The sum over all threads of a process. */
export async function readHeapMegabytes(folder: string, pid: number): Promise<number> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(`${pid}-`));
  const bytes = await Promise.all(
    names.map(async (name) => Number(await readFile(join(folder, name), 'utf8'))),
  );
  return Math.round(bytes.reduce((sum, some) => sum + some, 0) / 104_857.6) / 10;
}

function report(folder: string): void {
  // Overwritten in place, so that a reader never finds an empty file.
  const file = openSync(join(folder, `${process.pid}-${threadId}`), 'w');
  const readings: number[] = [];
  setInterval(() => {
    readings.push(getHeapStatistics().used_heap_size);
    if (readings.length > READINGS) readings.shift();
    writeSync(file, String(Math.min(...readings)).padEnd(16), 0);
  }, EVERY_MS).unref();
}

if (process.env[VARIABLE] !== undefined) report(process.env[VARIABLE]);
