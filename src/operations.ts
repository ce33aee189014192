/**
 * Everything that operators do, as functions: the command line only calls these.
 *
 * @module temporal-inbox/operations
 */
export { checkHealth } from './health/check-health.ts';
export type { HealthOptions } from './health/check-health.ts';
export type { Finding } from './health/finding.ts';
export * from './operations/index.ts';
export { prune } from './retention/retention.ts';
export type { PruneOptions, PruneReport } from './retention/retention.ts';
export type { PruneCounts, PruneProgress, PruneStep } from './retention/table-walk.ts';
