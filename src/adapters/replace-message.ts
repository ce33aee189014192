/**
 * Removes values from an error that a library has made, and keeps its class and its other properties.
 *
 * @module
 */

/** Replaces the message of an error, and its copy at the beginning of the stack. Returns the error. */
export function replaceMessage(error: Error, message: string): Error {
  const stack = error.stack?.replace(error.message, () => message);
  error.message = message;
  if (stack !== undefined) error.stack = stack;
  return error;
}
