-- The inbox: entries, what happened to them, and what leaves with them.
-- Once this file has landed it is never edited; its checksum is kept in inbox.migrations.

create schema if not exists inbox;

-- uuid v7, so that the primary key grows at one end and `order by id` is `order by received_at` without an index
-- of its own. Postgres 18 has uuidv7(); this serves older ones too (RFC 9562, section 5.7).
create function inbox.new_id() returns uuid
language sql volatile parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select encode(
    set_bit(
      set_bit(
        overlay(uuid_send(gen_random_uuid())
          placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
          from 1 for 6),
        52, 1),
      53, 1),
    'hex')::uuid
$$;

-- One fingerprint for every way in: jsonb's text has one order of keys, and without the zeros at a fraction's end one
-- form for each number. jsonb keeps those zeros, so that 1.50 from SQL would be another payload than 1.5 from JavaScript;
-- strings are matched first and put back as they are.
-- The type's length keeps ('a', '"b"…') and ('a"b', …) apart.
create function inbox.fingerprint(command_type text, payload jsonb) returns bytea
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select sha256(convert_to(
    length(command_type) || ':' || command_type || regexp_replace(payload::text,
      '("(?:[^"\\]|\\.)*")|(\.[0-9]*[1-9])0+(?![0-9])|\.0+(?![0-9])', '\1\2', 'g'),
    'UTF8'))
$$;

create type inbox.entry_status as enum ('Pending', 'Processing', 'Completed', 'Failed', 'DeadLetter');

create table inbox.entries (
  id             uuid primary key default inbox.new_id(),
  -- Compared byte by byte: two ids that merely look alike are two messages.
  message_id     text collate "C" not null unique,
  command_type   text not null,
  payload        jsonb not null,
  status         inbox.entry_status not null default 'Pending',
  received_at    timestamptz not null default now(),
  processed_at   timestamptz,
  retry_count    integer not null default 0,
  next_retry_at  timestamptz,
  error          text,
  correlation_id text,
  causation_id   text,
  metadata       jsonb not null default '{}',
  -- Attempts started, ever: the fencing token. A handler that kills its process was counted before it ran.
  attempt        integer not null default 0,
  generation     integer not null default 0,
  fingerprint    bytea not null,
  result         jsonb,
  -- When the last attempt was started, for whoever looks for attempts that never ended.
  claimed_at     timestamptz,

  constraint message_id_is_usable check (
    octet_length(message_id) between 1 and 200
    and message_id !~ '[\u0001-\u001f\u007f-\u009f]'
    -- Not blank, as JavaScript's trim() sees it: [[:space:]] is ASCII only under this collation.
    and message_id ~ '[^ \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]'),
  constraint command_type_is_usable check (length(command_type) between 1 and 200),
  constraint metadata_is_object check (jsonb_typeof(metadata) = 'object'),
  constraint error_is_short check (octet_length(error) <= 4096),
  constraint counters_agree check (retry_count >= 0 and generation >= 0 and attempt >= retry_count),

  -- The state machine of the contract, as far as one row can tell.
  constraint failed_has_next_retry check ((status = 'Failed') = (next_retry_at is not null)),
  constraint completed_has_time check ((status = 'Completed') = (processed_at is not null)),
  constraint only_completed_has_result check (status = 'Completed' or result is null),
  constraint failure_has_error check (status not in ('Failed', 'DeadLetter') or error is not null),
  constraint completed_has_no_error check (status <> 'Completed' or error is null),
  constraint attempt_was_claimed check (attempt = 0 or claimed_at is not null),
  constraint processing_was_claimed check (status <> 'Processing' or attempt > 0),
  constraint new_was_never_tried check (attempt > 0 or status in ('Pending', 'DeadLetter'))
);

-- Completed entries are in none of these, so they stay as small as the work that is open.
create index entries_pending on inbox.entries (received_at) where status = 'Pending';
create index entries_processing on inbox.entries (claimed_at) where status = 'Processing';
create index entries_failed on inbox.entries (next_retry_at) where status = 'Failed';
create index entries_dead on inbox.entries (id) where status = 'DeadLetter';

-- One row for each failed attempt, also for those whose worker never lived to say so.
create table inbox.failures (
  id            bigint generated always as identity primary key,
  message_id    text collate "C" not null references inbox.entries (message_id),
  generation    integer not null,
  attempt       integer not null,
  failed_at     timestamptz not null default now(),
  error_type    text not null,
  error         text not null check (octet_length(error) <= 4096),
  stack         text check (octet_length(stack) <= 16384),
  retryable     boolean not null,
  next_retry_at timestamptz,
  worker        text,
  build_id      text,
  unique (message_id, attempt)
);

create table inbox.dead_letters (
  id              uuid primary key default inbox.new_id(),
  message_id      text collate "C" not null references inbox.entries (message_id),
  generation      integer not null,
  command_type    text not null,
  payload         jsonb not null,
  correlation_id  text,
  causation_id    text,
  metadata        jsonb not null,
  error_type      text not null,
  error           text not null check (octet_length(error) <= 4096),
  failure_group   text not null check (octet_length(failure_group) <= 255),
  reason          text not null check (reason in ('unrecoverable', 'exhausted')),
  retry_count     integer not null,
  build_id        text,
  dead_at         timestamptz not null default now(),
  resolution      text check (resolution in ('replayed', 'discarded')),
  resolved_at     timestamptz,
  resolved_by     text,
  resolved_reason text,
  unique (message_id, generation),
  constraint resolution_is_whole check (
    (resolution is null) = (resolved_at is null) and (resolution is null) = (resolved_by is null))
);

-- At most one open dead letter a message; also the way to the open ones.
create unique index dead_letters_open on inbox.dead_letters (message_id) where resolution is null;
create index dead_letters_open_group on inbox.dead_letters (failure_group, dead_at) where resolution is null;

-- The columns Debezium's outbox event router reads by default, and ours. No foreign key to entries: this is on the
-- path of every command, and pruning published events must not have to look at entries.
create table inbox.outbox (
  id            uuid primary key default inbox.new_id(),
  position      bigint generated always as identity,
  aggregatetype text not null,
  aggregateid   text not null,
  type          text not null,
  payload       jsonb not null,
  metadata      jsonb not null default '{}',
  message_id    text collate "C" not null,
  created_at    timestamptz not null default now(),
  published_at  timestamptz
);

create index outbox_unpublished on inbox.outbox (position) where published_at is null;

-- What operators did. Rows are only ever added.
create table inbox.audit (
  id         bigint generated always as identity primary key,
  at         timestamptz not null default now(),
  action     text not null,
  message_id text collate "C" not null references inbox.entries (message_id),
  actor      text not null,
  reason     text,
  details    jsonb not null default '{}'
);

create index audit_of_message on inbox.audit (message_id);
