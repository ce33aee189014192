/**
 * `scripts/setup.mjs` runs this before the demo and the tests. It ensures that the embedded servers can start: downloads and
 * builds that take minutes run here, and anything missing is reported here.
 *
 * @module
 */
import { maskSecrets } from '../platform/secrets.ts';
import { findPostgresBinaries } from './postgres/binaries.ts';
import { findPostgresUser } from './postgres/user.ts';
import { findTemporalBinary } from './temporal/binary.ts';

const log = (line: string) => void process.stderr.write(`${maskSecrets(line)}\n`);

try {
  if (!process.env['DATABASE_URL']?.trim()) await findPostgresBinaries(await findPostgresUser(), log);
  if (!process.env['TEMPORAL_ADDRESS']?.trim()) await findTemporalBinary({ log });
} catch (error) {
  log(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
