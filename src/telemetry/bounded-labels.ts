/**
 * Limits for the values of labels. Senders choose the types of messages and handlers the names of errors, and each further
 * value would make further time series.
 *
 * @module
 */

/** Returns values as they are until there were `limit` different ones, and `other` for all further values. */
export function boundedLabel(limit: number, other: string): (value: string) => string {
  const known = new Set<string>();
  return (value) => {
    if (known.has(value)) return value;
    if (known.size >= limit) return other;
    known.add(value);
    return value;
  };
}

/** How many command types a process reports by name. */
export const MAX_TYPES = 200;
/** The label of all further types. */
export const OTHER_TYPES = '_other';
export const typeLabel = boundedLabel(MAX_TYPES, OTHER_TYPES);

/** How many types of errors a process reports by name. `_OTHER` is the name that the conventions give to the rest. */
export const MAX_ERROR_TYPES = 100;
export const errorLabel = boundedLabel(MAX_ERROR_TYPES, '_OTHER');
