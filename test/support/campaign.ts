/**
 * Sets of dead letters for campaign tests, and a command whose behavior each test chooses.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';
import { DEFAULT_PLAN, followCampaign, startCampaign } from '../../src/operations/index.ts';
import type { CampaignRequest } from '../../src/operations/index.ts';
import type { Campaign } from '../../src/store/campaigns.ts';
import { seedDeadLetters } from './dead-letters.ts';
import { rows } from './inbox.ts';
import type { TestInbox } from './inbox.ts';

type Behavior = (messageId: string) => Promise<void> | void;

/** By failure group. A behavior throws to simulate a fix that does not work, or waits for its test. */
export const behaviors = new Map<string, Behavior>();

export const mend = defineCommand({
  type: 'Mend',
  schema: z.object({ group: z.string() }),
  retry: { maximumAttempts: 3, initialInterval: '50ms' },
  async handle({ payload, messageId, tx }) {
    await behaviors.get(payload.group)?.(messageId);
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    return null;
  },
});

export interface Item {
  position: number;
  messageId: string;
  askedAt: Date | null;
  replayedAt: Date | null;
  outcome: string | null;
}

/** `size` dead letters of one failure group, with the operations and queries that tests need. */
export class DeadSet {
  readonly ids: string[];
  readonly group: string;

  constructor(
    readonly inbox: TestInbox,
    name: string,
    readonly size: number,
  ) {
    this.group = inbox.id(name);
    this.ids = Array.from({ length: size }, (_, index) => inbox.id(`${name}-${index}`));
  }

  async seed(): Promise<this> {
    await seedDeadLetters(this.inbox.pool, this.ids, {
      commandType: mend.type,
      payload: { group: this.group },
      failureGroup: this.group,
    });
    return this;
  }

  replay(request: Partial<CampaignRequest> = {}): Promise<Campaign> {
    const fast = { ...DEFAULT_PLAN, rate: 1_000 };
    return startCampaign(this.inbox, {
      ...fast,
      filter: { failureGroup: this.group },
      actor: 'ada',
      reason: 'mended',
      ...request,
    });
  }

  follow(campaign: Campaign) {
    return followCampaign(this.inbox.pool, campaign.id, { intervalMs: 25 });
  }

  items(campaign: Campaign): Promise<Item[]> {
    return rows<Item>(
      this.inbox.pool,
      `select position, message_id as "messageId", asked_at as "askedAt", replayed_at as "replayedAt", outcome
       from inbox.campaign_items where campaign_id = $1 order by position`,
      [campaign.id],
    );
  }

  /** The number of effects of each message. */
  async effects(): Promise<number[]> {
    const counts = await rows<{ count: number }>(
      this.inbox.pool,
      `select count(e.message_id)::integer as count from unnest($1::text[]) as id left join effects e on e.message_id = id
       group by id`,
      [this.ids],
    );
    return counts.map(({ count }) => count);
  }

  /** One row for each replay, with its actor and its campaign. */
  replays(): Promise<{ messageId: string; actor: string; campaign: string | null }[]> {
    return rows(
      this.inbox.pool,
      `select message_id as "messageId", actor, details ->> 'campaign' as campaign from inbox.audit
       where action = 'replay' and message_id = any ($1)`,
      [this.ids],
    );
  }

  /** One row for each dead letter that is open and was never replayed. */
  untouched(): Promise<object[]> {
    return rows(
      this.inbox.pool,
      'select from inbox.dead_letters where message_id = any ($1) and resolution is null and generation = 0',
      [this.ids],
    );
  }
}
