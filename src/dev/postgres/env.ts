/**
 * The environment of Postgres's programs. It is minimal, because variables such as PGDATA, PGPORT and LC_ALL would change
 * what the programs do.
 *
 * @module
 */
const KEPT = ['PATH', 'LD_LIBRARY_PATH', 'SystemRoot', 'TEMP', 'TMP'];

export function postgresEnv(): NodeJS.ProcessEnv {
  const kept = KEPT.map((name) => [name, process.env[name]] as const).filter(
    ([, value]) => value !== undefined,
  );
  return { ...Object.fromEntries(kept), LC_ALL: 'C', TZ: 'UTC' };
}
