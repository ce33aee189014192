-- Which relay publishes: the holder of this one row, until a time that it keeps moving on. A lease needs no session, so it works
-- behind a pooler, and unlike an advisory lock it can only be taken by a role that may write here.
create table inbox.outbox_lease (
  only_row      boolean primary key default true check (only_row),
  holder        uuid,
  until         timestamptz not null default '-infinity',
  -- The holder's backend, where it is connected to Postgres directly: when that is gone, so is the holder.
  backend       integer,
  backend_start timestamptz
);
insert into inbox.outbox_lease (only_row) values (true);

-- Aggregates whose next event the publisher rejects. Their events wait in order; all other aggregates go on.
create table inbox.outbox_parked (
  aggregatetype text not null,
  aggregateid   text not null,
  -- The event that was rejected last: the first of those that wait.
  event_id      uuid not null,
  tries         integer not null check (tries > 0),
  last_error    text not null check (octet_length(last_error) <= 4096),
  parked_at     timestamptz not null default now(),
  next_try_at   timestamptz not null,
  primary key (aggregatetype, aggregateid)
);
create index outbox_parked_due on inbox.outbox_parked (next_try_at);

alter table inbox.outbox
  -- Waits behind the rejected event of its aggregate. Set once for each event, so that no look reads it again.
  add column parked boolean not null default false,
  -- An operator decided that it is not published; published_at says when.
  add column skipped boolean not null default false;

create index outbox_waiting on inbox.outbox (aggregatetype, aggregateid, position)
  where parked and published_at is null;
