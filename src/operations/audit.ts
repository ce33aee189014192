/**
 * What operators did, over all messages and campaigns.
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
  .string('is no text')
  .min(1, 'is empty')
  .regex(/^[^\p{Cc}\p{Cs}]*$/u, 'has control characters');
const time = z.date('is no date').refine((date) => date.getFullYear() < 10_000, 'is beyond the year 9999');
const filters = z.strictObject({
  actor: text.optional(),
  messageId: text.optional(),
  campaignId: z.guid('is no uuid').optional(),
  action: text.optional(),
  since: time.optional(),
  until: time.optional(),
  before: z.int('is no whole number').positive('is below 1').optional(),
  limit: z.int('is no whole number').min(1, 'is below 1').max(10_000, 'is above 10000'),
});

/**
 * The audit, newest first. The next page: `before` is the id of this one's last line.
 *
 * @throws InvalidMessageError for a filter that makes no sense
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
