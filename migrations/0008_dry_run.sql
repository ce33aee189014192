-- A dry run tries a handler against a dead letter in a real transaction that must never be committed, whatever the handler
-- does. It begins with a row in this table, and whoever tries to commit such a row is refused: COMMIT then is a ROLLBACK.

create table inbox.dry_run (
  message_id text collate "C" not null
);

-- Deferred, so that it is asked at COMMIT. Before the end the dry run asks it, and all deferred constraints of the handler's
-- own tables, with SET CONSTRAINTS: then it lets itself pass, to hear what the others say.
create function inbox.refuse_commit() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('inbox.dry_run_is_checked', true) = 'yes' then
    return null;
  end if;
  raise exception using errcode = 'IB004', message = 'a dry run is never committed',
    hint = 'a handler must not send COMMIT';
end
$$;

create constraint trigger dry_run_is_never_committed after insert on inbox.dry_run
  deferrable initially deferred
  for each row execute function inbox.refuse_commit();
