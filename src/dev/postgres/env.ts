/**
 * The environment that Postgres's programs get: little, since PGDATA, PGPORT, LC_ALL and their like would change what
 * they do.
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
