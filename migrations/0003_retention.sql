-- Retention: `inbox prune` takes the data of what is over, and leaves what says that it was. message_id and fingerprint
-- stay for ever, so that a duplicate is still a duplicate, and a conflict a conflict, years later.

-- A discarded dead letter is over as well, and its payload is as personal as any other; so an entry may be pruned as
-- Completed, or as the DeadLetter of a discarded one. Which of a row's dead letters is open, one row cannot tell.
alter table inbox.entries
  add column pruned_at timestamptz,
  alter column payload drop not null,
  add constraint only_pruned_has_no_payload check (payload is not null or pruned_at is not null),
  add constraint pruned_is_over_and_empty check (
    pruned_at is null
    or (status in ('Completed', 'DeadLetter') and payload is null and metadata = '{}' and result is null));

-- The row of a discarded dead letter stays, emptied: it answers a duplicate with `Discarded`.
alter table inbox.dead_letters
  add column pruned_at timestamptz,
  alter column payload drop not null,
  add constraint only_pruned_has_no_payload check (payload is not null or pruned_at is not null),
  add constraint pruned_is_discarded_and_empty check (
    pruned_at is null or (resolution = 'discarded' and payload is null and metadata = '{}'));

-- As small as the dead letters that a person has resolved and no run has pruned yet.
create index dead_letters_resolved on inbox.dead_letters (id) where resolution is not null and pruned_at is null;

-- How the next run finds what is due without an index that grows with the completed entries, and without reading all
-- those that it pruned before: a run walks the primary key, which is in the order of receipt, and remembers here how far
-- everything is settled. What it had to leave behind below that mark (a dead letter, a command that is tried for weeks)
-- is noted in retention_left and looked at again by every run, so that a completion after months is still found. The mark
-- stays a day behind the clock, because a row that is committed late has an id from when it was written.
-- The row is also the lock that makes the batches of two runs follow each other. To walk everything again, which is
-- always safe: update inbox.retention set settled_to = '00000000-0000-0000-0000-000000000000'.
create table inbox.retention (
  only_row      boolean primary key default true check (only_row),
  settled_to uuid not null
);
insert into inbox.retention (settled_to) values ('00000000-0000-0000-0000-000000000000');

-- No foreign key: its check would lock the entry's row, which a running attempt holds.
create table inbox.retention_left (
  entry_id uuid primary key
);
