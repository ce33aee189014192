/**
 * Run by `scripts/setup.mjs`: makes sure that the embedded servers can start, so that what takes minutes is done, and
 * what is missing is said, before the demo or the tests begin.
 *
 * @module
 */
import { hideSecrets } from '../platform/secrets.ts';
import { findPostgresBinaries } from './postgres/binaries.ts';
import { findPostgresUser } from './postgres/user.ts';
import { findTemporalBinary } from './temporal/binary.ts';

const log = (line: string) => void process.stderr.write(`${hideSecrets(line)}\n`);

try {
  if (!process.env['DATABASE_URL']?.trim()) await findPostgresBinaries(await findPostgresUser(), log);
  if (!process.env['TEMPORAL_ADDRESS']?.trim()) await findTemporalBinary({ log });
} catch (error) {
  log(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
