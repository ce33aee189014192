/**
 * Version 7 UUIDs contain the time when they were made, so rows can be found by time without another index.
 *
 * @module
 */

/** The lower bound of the version 7 ids made in this millisecond. */
export const ID_AT = (time: string) =>
  `rpad(lpad(to_hex((extract(epoch from ${time}) * 1000)::bigint), 12, '0'), 32, '0')::uuid`;

/** The time in a version 7 id, in ms since 1970. */
export const TIME_OF_ID = (id: string) =>
  `('x' || substr(replace(${id}::text, '-', ''), 1, 12))::bit(48)::bigint`;
