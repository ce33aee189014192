/**
 * The log that handlers and the inbox write to.
 *
 * @module
 */
/** Log lines carry the message's id and type. Don't log payloads. */
export interface CommandLog {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}
