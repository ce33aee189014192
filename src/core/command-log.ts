/**
 * Where a handler and the inbox write their log lines.
 *
 * @module
 */
/** Lines carry the message's id and type; payloads do not belong in them. */
export interface CommandLog {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}
