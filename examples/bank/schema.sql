-- The bank's own tables. They are in the same database as the inbox's tables, so that one transaction covers a command's
-- effects and its completion. The script can safely run again.

-- "if not exists" still fails when two sessions create the same object at the same time, so this lock makes them take turns.
select pg_advisory_xact_lock(hashtext('examples/bank/schema.sql'));

create schema if not exists bank;

-- The source of truth, with one stream for each account. The primary key enforces the expected version: of two writers
-- that both read version 7, only one can insert version 8.
create table if not exists bank.events (
  stream_id   text        not null,
  version     integer     not null check (version > 0),
  type        text        not null,
  data        jsonb       not null,
  message_id  text        not null,
  recorded_at timestamptz not null default now(),
  primary key (stream_id, version)
);

-- Deliberately not unique. The inbox guarantees that a command takes effect only once, and conservation.ts checks this. A
-- unique constraint here would hide a violation of the guarantee.
create index if not exists events_message_id on bank.events (message_id);

-- The read model, written in the transaction that appends the events. Decisions also use it as a snapshot of the stream: the
-- shop's stream has thousands of events, and folding all of them for each transfer would make every sale slower than the one
-- before.
create table if not exists bank.accounts (
  id            text        primary key,
  owner         text        not null,
  balance_cents bigint      not null check (balance_cents >= 0),
  version       integer     not null check (version > 0),
  opened_at     timestamptz not null default now()
);

-- The HTTP API's own table, written in the transaction that sends the command. Either both this row and the inbox entry
-- exist, or neither does. The table also keeps keys after the inbox has pruned their entries.
create table if not exists bank.transfer_requests (
  idempotency_key text collate "C" primary key,
  from_account    text             not null,
  to_account      text             not null,
  amount_cents    bigint           not null check (amount_cents > 0),
  requested_at    timestamptz      not null default now()
);

-- Locks accounts for the rest of the transaction. All transactions lock in the same order (by id), so two transfers in
-- opposite directions cannot deadlock. A transaction that does not get a lock within 250 ms fails with SQLSTATE 55P03 and
-- is retried later, so that it does not hold a connection while it waits. With 32 concurrent transfers to one shop on a
-- busy two-core machine, a limit of 250 ms made a tenth of them fail, and 100 ms a third. lock_timeout applies only
-- inside the function and is restored when it returns, so it does not affect the inbox's own statements in the same
-- transaction.
create or replace function bank.lock_accounts(ids text[])
returns setof bank.accounts
language sql
volatile
set lock_timeout = '250ms'
set search_path = ''
as $$
  select * from bank.accounts where id = any (ids) order by id for update
$$;
