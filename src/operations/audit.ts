/**
 * Lists what operators did to messages and campaigns.
 *
 * @module
 */
import type { Pool } from 'pg';
import { z } from 'zod';
import { InvalidMessageError } from '../core/errors.ts';
import { listAuditTrail } from '../store/audit.ts';
import type { AuditFilter, AuditTrailLine } from '../store/audit.ts';

export type { AuditFilter, AuditTrailLine } from '../store/audit.ts';

const text = z
  .string('must be text')
  .min(1, 'is empty')
  .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'contains control characters');
const time = z.date('must be a date').refine((date) => date.getFullYear() < 10_000, 'is after the year 9999');
const filters = z.strictObject({
  actor: text.optional(),
  messageId: text.optional(),
  campaignId: z.guid('must be a UUID').optional(),
  action: text.optional(),
  since: time.optional(),
  until: time.optional(),
  before: z.int('must be a whole number').positive('is below 1').optional(),
  limit: z.int('must be a whole number').min(1, 'is below 1').max(10_000, 'is above 10000'),
});

/**
 * Lists the audit trail, newest first. For the next page, pass the id of the last line as `before`.
 *
 * @throws InvalidMessageError when a filter is invalid
 * @example
 * const replays = await auditTrail(pool, { action: 'replay', since: new Date('2026-03-01'), limit: 100 });
 */
export async function auditTrail(pool: Pool, filter: AuditFilter): Promise<AuditTrailLine[]> {
  const parsed = filters.safeParse(filter);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new InvalidMessageError(issue.path.join('.') || 'filter', issue.message);
  }
  return listAuditTrail(pool, filter);
}
