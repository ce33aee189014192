/**
 * Finds what an operator changed in a payload.
 *
 * @module
 */
import type { Json } from '../core/json.ts';
import { limitBytes } from '../core/text.ts';

/** `from` is missing if the value was added, `to` if it was removed. */
export interface PayloadChange {
  /** Such as `items[3].price`; empty for the whole payload. Cut after 300 bytes. */
  path: string;
  from?: Json;
  to?: Json;
}

/** Nobody reads more. The complete payloads are in the dead letter and in the entry. */
const MOST_CHANGES = 50;
const MOST_BYTES = 1_024;
/** Keys come from outside and can be long, and the paths are stored in the audit. */
const MOST_PATH_BYTES = 300;

/** Lists at most 50 differences, in the order of the old payload. Values above 1 KB are replaced by their size. */
export function payloadDifference(before: Json, after: Json): PayloadChange[] {
  const changes: PayloadChange[] = [];
  compare('', before, after, changes);
  return changes.slice(0, MOST_CHANGES);
}

function compare(
  path: string,
  before: Json | undefined,
  after: Json | undefined,
  changes: PayloadChange[],
): void {
  if (changes.length >= MOST_CHANGES || before === after) return;
  if (isObject(before) && isObject(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      compare(path === '' ? key : `${path}.${key}`, own(before, key), own(after, key), changes);
    }
  } else if (Array.isArray(before) && Array.isArray(after)) {
    const length = Math.max(before.length, after.length);
    for (let index = 0; index < length; index += 1) {
      compare(`${path}[${index}]`, before[index], after[index], changes);
    }
  } else {
    changes.push({
      path: limitBytes(path, MOST_PATH_BYTES),
      ...(before !== undefined && { from: short(before) }),
      ...(after !== undefined && { to: short(after) }),
    });
  }
}

/** Treats `__proto__` like any other key. */
function own(object: Record<string, Json>, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function isObject(value: Json | undefined): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function short(value: Json): Json {
  const text = JSON.stringify(value);
  return Buffer.byteLength(text) <= MOST_BYTES ? value : `(${Buffer.byteLength(text)} bytes)`;
}
