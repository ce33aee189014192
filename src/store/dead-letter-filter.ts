/**
 * Selects dead letters: one condition for every statement that lists, counts or freezes a set of them.
 *
 * @module
 */

/** All fields that are given must match. */
export interface DeadLetterFilter {
  failureGroup?: string;
  commandType?: string;
  errorType?: string;
  /** Became a dead letter at or after this time. */
  since?: Date;
  /** Became a dead letter before this time. */
  until?: Date;
  correlationId?: string;
  /** A part of the error's text, ignoring case. */
  text?: string;
}

/** A condition on a row of `inbox.dead_letters`. Its parameters come first in a statement. */
export const FILTER_CONDITION = `
  ($1::text is null or failure_group = $1) and ($2::text is null or command_type = $2)
  and ($3::text is null or error_type = $3)
  and ($4::timestamptz is null or dead_at >= $4) and ($5::timestamptz is null or dead_at < $5)
  and ($6::text is null or correlation_id = $6)
  and ($7::text is null or position(lower($7) in lower(error)) > 0)`;

/** The parameters of {@link FILTER_CONDITION}. */
export function filterParameters(filter: DeadLetterFilter): unknown[] {
  return [
    filter.failureGroup ?? null,
    filter.commandType ?? null,
    filter.errorType ?? null,
    filter.since ?? null,
    filter.until ?? null,
    filter.correlationId ?? null,
    filter.text ?? null,
  ];
}
