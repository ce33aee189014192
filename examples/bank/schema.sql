-- The bank's own tables. They live beside the inbox's in one database, so that a command's effects and its completion
-- are one transaction. Safe to run again.

-- "if not exists" still fails when two sessions create the same thing at once; this makes them take turns.
select pg_advisory_xact_lock(hashtext('examples/bank/schema.sql'));

create schema if not exists bank;

-- The truth. A stream is an account; its primary key is the expected version: of two writers that both read version 7,
-- only one can insert version 8.
create table if not exists bank.events (
  stream_id   text        not null,
  version     integer     not null check (version > 0),
  type        text        not null,
  data        jsonb       not null,
  message_id  text        not null,
  recorded_at timestamptz not null default now(),
  primary key (stream_id, version)
);

-- Deliberately not unique: that a command took effect only once is the inbox's promise, and conservation.ts checks it.
-- A constraint here would hide a broken promise instead of showing it.
create index if not exists events_message_id on bank.events (message_id);

-- The read model, written in the transaction that appends the events. It is also the snapshot that decisions start from:
-- the shop's stream has thousands of events, and folding them again for each transfer would make every sale slower than
-- the one before.
create table if not exists bank.accounts (
  id            text        primary key,
  owner         text        not null,
  balance_cents bigint      not null check (balance_cents >= 0),
  version       integer     not null check (version > 0),
  opened_at     timestamptz not null default now()
);

-- The HTTP API's own table, written in the transaction that sends the command: a row here and an entry in the inbox, or
-- neither. It also remembers keys for longer than the inbox may keep its entries.
create table if not exists bank.transfer_requests (
  idempotency_key text collate "C" primary key,
  from_account    text             not null,
  to_account      text             not null,
  amount_cents    bigint           not null check (amount_cents > 0),
  requested_at    timestamptz      not null default now()
);

-- Locks accounts for the rest of the transaction, in one order for everybody (by id), so that two transfers in opposite
-- directions cannot deadlock. Whoever cannot have a lock within 250 ms gets SQLSTATE 55P03 and comes back later, instead of
-- queueing with a connection in hand. With 32 transfers to one shop at once on a busy two-core machine, 250 ms sent a
-- tenth of them back, 100 ms a third. The limit belongs to the function: lock_timeout is what it was when it returns, so
-- the inbox's own statements in the same transaction do not feel it.
create or replace function bank.lock_accounts(ids text[])
returns setof bank.accounts
language sql
volatile
set lock_timeout = '250ms'
set search_path = ''
as $$
  select * from bank.accounts where id = any (ids) order by id for update
$$;
