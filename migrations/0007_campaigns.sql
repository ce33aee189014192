-- Campaigns: a bulk replay of a set of dead letters that is frozen when the campaign is made.

create table inbox.campaigns (
  id           uuid primary key default inbox.new_id(),
  created_at   timestamptz not null default now(),
  actor        text not null,
  reason       text,
  -- What the set was chosen by, for people; the set itself is in campaign_items.
  filter       jsonb not null check (jsonb_typeof(filter) = 'object'),
  -- So many are replayed and settled before the others.
  canary       integer not null check (canary between 0 and 100000),
  -- Replays asked for in a second, at most.
  rate         double precision not null check (rate > 0 and rate <= 10000),
  -- Replays asked for and not settled, at most.
  concurrency  integer not null check (concurrency between 1 and 1000),
  -- Of what was judged, the share of failures above which it stops by itself.
  stop_above   double precision not null check (stop_above between 0 and 1),
  -- Failures count from this position and time on: what failed before a resume is history, and must not stop it again.
  judged_from  integer not null default 1,
  judged_since timestamptz not null default now(),
  state        text not null default 'Running' check (state in ('Running', 'Paused', 'Aborted', 'Finished')),
  state_reason text,
  ended_at     timestamptz,
  -- Of its items, kept by the statements that settle them: a look need not count a hundred thousand rows.
  total        integer not null check (total > 0),
  completed    integer not null default 0,
  failed       integer not null default 0,
  skipped      integer not null default 0,
  constraint figures_agree check (least(completed, failed, skipped) >= 0 and completed + failed + skipped <= total),
  constraint over_has_time check ((state in ('Aborted', 'Finished')) = (ended_at is not null))
);

create table inbox.campaign_items (
  campaign_id    uuid not null references inbox.campaigns (id),
  -- From 1, without gaps: the order of replay.
  position       integer not null check (position > 0),
  -- No foreign key: retention deletes dead letters that were replayed, and asks nobody.
  dead_letter_id uuid not null,
  message_id     text collate "C" not null references inbox.entries (message_id),
  -- Of the dead letter; its replay is the generation after this one.
  generation     integer not null,
  -- When the command's workflow was last asked to replay it: what the rate counts.
  asked_at       timestamptz,
  -- Written by the statement that replays, so it says for certain that it was this campaign that did.
  replayed_at    timestamptz,
  outcome        text check (outcome in ('completed', 'failed', 'skipped')),
  settled_at     timestamptz,
  primary key (campaign_id, position),
  constraint outcome_has_time check ((outcome is null) = (settled_at is null)),
  constraint only_skipped_was_not_replayed check (replayed_at is not null or outcome is null or outcome = 'skipped')
);

-- How the statement that replays finds its item; and no dead letter is twice in a campaign.
create unique index campaign_items_of_letter on inbox.campaign_items (dead_letter_id, campaign_id);
-- Each look at a campaign reads what is under way, what comes next, what was just asked for and what was judged last: each as
-- small as its answer, however many items there are.
create index campaign_items_next on inbox.campaign_items (campaign_id, position)
  where asked_at is null and outcome is null;
create index campaign_items_in_flight on inbox.campaign_items (campaign_id, position)
  where asked_at is not null and outcome is null;
create index campaign_items_asked on inbox.campaign_items (campaign_id, asked_at);
create index campaign_items_judged on inbox.campaign_items (campaign_id, settled_at)
  where outcome in ('completed', 'failed');

-- What operators do to a campaign is audited like what they do to a message; a line is about one of the two.
alter table inbox.audit
  alter column message_id drop not null,
  add column campaign_id uuid references inbox.campaigns (id),
  add constraint audit_is_of_one check ((message_id is null) <> (campaign_id is null));

create index audit_of_campaign on inbox.audit (campaign_id) where campaign_id is not null;
