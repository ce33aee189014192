export interface DeadLetterFilter {
  failureGroup?: string;
  commandType?: string;
}
export const FILTER_CONDITION = `($1::text is null or failure_group = $1) and ($2::text is null or command_type = $2)`;
export function filterParameters(filter: DeadLetterFilter): unknown[] {
  return [filter.failureGroup ?? null, filter.commandType ?? null];
}
