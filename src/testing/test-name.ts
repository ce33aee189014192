/**
 * Names for what a test inbox creates on its servers.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';

export const TEST_PREFIX = 'inbox_testing_';
const NAME = /^inbox[_-]testing[_-](?<created>[0-9a-z]{8})[_-][0-9a-f]{12}$/;
const LEFT_AFTER_MS = 24 * 3_600_000;

/** A name for a database that contains the time, so that leftovers can be recognized. */
export function newTestName(): string {
  return `${TEST_PREFIX}${Date.now().toString(36)}_${randomBytes(6).toString('hex')}`;
}

/** The name of a test's namespace and task queue. */
export function dashed(name: string): string {
  return name.replaceAll('_', '-');
}

/** Returns true for the name of something that a test created more than a day ago and did not remove. */
export function isLeftover(name: string): boolean {
  const created = NAME.exec(name)?.groups?.['created'];
  return created !== undefined && Date.now() - Number.parseInt(created, 36) > LEFT_AFTER_MS;
}
