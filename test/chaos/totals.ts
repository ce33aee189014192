/**
 * `node dist/test/chaos/totals.js REPORT…` prints one table for several chaos runs. Each report was written with `--report`.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { addReports } from './report.ts';
import type { ChaosReport } from './report.ts';

const reports = process.argv.slice(2).map((path) => JSON.parse(readFileSync(path, 'utf8')) as ChaosReport);
process.stdout.write(`${addReports(reports)}\n`);
