-- breaking: false
-- The workers that run against this database and the command types each of them knows, so that a command that no worker
-- knows can be reported. Each worker renews its row while it runs; a row that was not renewed for 30 s is of a worker that died.
create table inbox.workers (
  id            uuid primary key default inbox.new_id(),
  -- As in Temporal's list of pollers.
  identity      text not null,
  namespace     text not null,
  task_queue    text not null,
  build_id      text,
  command_types text[] not null,
  started_at    timestamptz not null default now(),
  seen_at       timestamptz not null default now()
);
