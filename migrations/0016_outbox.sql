-- breaking: false
-- Publishing without a session lock, and around an event that the broker rejects.

-- Which relay publishes. At most one row; it is renewed while the relay lives, and `until` is by the database's clock, so that it
-- works over any pooler and only for logins that may write this table. A relay that stops sets `until` to -infinity.
create table inbox.outbox_lease (
  one    boolean primary key default true check (one),
  holder uuid not null,
  -- For people: host name and process id.
  name   text not null,
  until  timestamptz not null,
  -- All events up to here are published, parked or will never come. The next relay starts above it: while a session holds a
  -- snapshot open, a scan from the oldest end would walk over everything that was ever published.
  position bigint not null default -1
);

-- One row for each aggregate of which the broker rejected an event. That event and all later ones of the aggregate wait in its
-- lane, `inbox.outbox.parked` = id, and the relay tries the first of them again at next_try_at.
create table inbox.outbox_parked (
  id            bigint generated always as identity primary key,
  -- SHA-256 of aggregatetype and aggregateid, which may be too long for an index.
  aggregate_key bytea not null unique,
  -- The event that was rejected last, how often, and why. The error never contains what the event carries.
  event_id      uuid not null,
  attempts      integer not null,
  error         text not null,
  parked_at     timestamptz not null default now(),
  failed_at     timestamptz not null,
  next_try_at   timestamptz not null
);

create index outbox_parked_due on inbox.outbox_parked (next_try_at);

-- 0: the event is published in its turn. Otherwise it waits in the lane of a parked aggregate.
alter table inbox.outbox add column parked bigint not null default 0;

-- The relay reads each lane in order of position, and nothing of the lanes that wait. Relays of earlier releases, which ask
-- for `published_at is null` alone, can still use it.
create index if not exists outbox_waiting on inbox.outbox (parked, position) where published_at is null;
drop index inbox.outbox_unpublished;
