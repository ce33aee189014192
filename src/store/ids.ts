/**
 * Ids of version 7 hold the time at which they were made: rows are found by it without an index of their own.
 *
 * @module
 */

/** The first id of version 7 of this millisecond. */
export const ID_AT = (time: string) =>
  `rpad(lpad(to_hex((extract(epoch from ${time}) * 1000)::bigint), 12, '0'), 32, '0')::uuid`;

/** The time in an id of version 7, in ms since 1970. */
export const TIME_OF_ID = (id: string) =>
  `('x' || substr(replace(${id}::text, '-', ''), 1, 12))::bit(48)::bigint`;
