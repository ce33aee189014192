/**
 * Decodes single payloads of Temporal's raw responses.
 *
 * @module
 */
import type { Client } from '@temporalio/client';
import type { Payload } from '@temporalio/common';

/** Decodes a payload with the client's codecs and converter; undefined if there is none, or if it cannot be decoded. */
export async function decodePayload(client: Client, payload: Payload | null | undefined): Promise<unknown> {
  if (!payload) return undefined;
  const { payloadCodecs, payloadConverter } = client.options.loadedDataConverter;
  try {
    let decoded = payload;
    for (const codec of payloadCodecs.toReversed()) [decoded = {}] = await codec.decode([decoded]);
    return payloadConverter.fromPayload(decoded);
  } catch {
    return undefined;
  }
}
