/**
 * What operators do: look, replay, discard. The command line and any console call these; none has logic of its own.
 *
 * @module
 */
export { discard, replay } from './operations/act.ts';
export type { ActionAnswer, Operator } from './operations/act.ts';
export { auditTrail } from './operations/audit.ts';
export type { AuditFilter, AuditTrailLine } from './operations/audit.ts';
export { list, show, stats } from './operations/look.ts';
export type { EntryStory, InboxStats } from './operations/look.ts';
