-- Alerts: what tells people that commands died. A dead letter is committed first and gathered into an alert afterwards, so
-- that nothing which was rolled back is told, and nothing which was committed can be forgotten.

create table inbox.alerts (
  id             uuid primary key default inbox.new_id(),
  failure_group  text not null check (octet_length(failure_group) <= 255),
  command_type   text not null,
  error_type     text not null,
  count          integer not null check (count > 0),
  first_dead_at  timestamptz not null,
  last_dead_at   timestamptz not null,
  -- Some of them; all are the dead letters with this alert_id.
  message_ids    text[] collate "C" not null,
  created_at     timestamptz not null default now(),
  -- Who has still to be told, and who could not be. In columns of the row and not of Temporal's memory: a lost workflow
  -- goes on with what is left.
  waiting        text[] not null check (waiting <@ '{hook,webhook}'),
  given_up       text[] not null default '{}' check (given_up <@ '{hook,webhook}'),
  -- From when on somebody may look whether its workflow is there; a lease, not a promise.
  due_at         timestamptz not null default now(),
  tries          integer not null default 0,
  first_tried_at timestamptz,
  last_error     text check (octet_length(last_error) <= 4096),
  ended_at       timestamptz,
  constraint ended_waits_for_nobody check ((ended_at is null) = (waiting <> '{}'))
);

create index alerts_open on inbox.alerts (due_at) where ended_at is null;
create index alerts_given_up on inbox.alerts (id) where given_up <> '{}';
-- When a group was last alerted.
create index alerts_of_group on inbox.alerts (failure_group, created_at);

-- Null: not alerted yet. What died before there were alerts has the nil id, by a default that rewrites no row: whoever
-- turns alerts on wants no flood of the past. No foreign key: nil is nobody's, and alerts are pruned on their own.
alter table inbox.dead_letters add column alert_id uuid default '00000000-0000-0000-0000-000000000000';
alter table inbox.dead_letters alter column alert_id drop default;

create index dead_letters_unalerted on inbox.dead_letters (failure_group, dead_at) where alert_id is null;
-- Whether a dead letter of an alert still waits for a person.
create index dead_letters_open_of_alert on inbox.dead_letters (alert_id) where resolution is null;
