-- breaking: false
-- The details of a failure, for senders that wait for the result.

-- The details of an UnrecoverableError, without secrets and at most 4 KB; null if there are none.
alter table inbox.dead_letters add column details jsonb;

drop trigger dead_letter_is_not_edited on inbox.dead_letters;
create trigger dead_letter_is_not_edited
  before delete or update of id, message_id, generation, command_type, payload, correlation_id, causation_id, metadata,
    error_type, error, failure_group, reason, retry_count, build_id, dead_at, resolution, resolved_at, resolved_by,
    resolved_reason, pruned_at, details
  on inbox.dead_letters for each row execute function inbox.refuse_edit();

-- Like inbox.settled_entries, which senders of earlier releases use. For a dead letter, it also returns what a sender may base
-- a decision on.
create function inbox.settled_messages(ids uuid[], out message_id text, out status inbox.entry_status, out result jsonb,
  out error text, out error_type text, out failure_group text, out details jsonb)
returns setof record
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select e.message_id, e.status, e.result, e.error, d.error_type, d.failure_group, d.details
  from inbox.entries e
    left join inbox.dead_letters d
      on e.status::text = 'DeadLetter' and d.message_id = e.message_id and d.generation = e.generation
  where e.id = any (ids) and e.status::text in ('Completed', 'DeadLetter')
$$;

-- As in migration 0022, except that the details are removed, too.
create or replace function inbox.prune_discarded(ids uuid[]) returns integer
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with due as materialized (
    select d.id, d.error_type, e.id as entry_id
    from inbox.dead_letters d join inbox.entries e using (message_id)
    where d.id = any (ids) and coalesce(d.resolution, '') = 'discarded' and d.pruned_at is null
      and e.status::text = 'DeadLetter'
    for no key update of d, e skip locked),
  entry as (
    update inbox.entries e set payload = null, metadata = '{}', error = due.error_type, pruned_at = now()
    from due where e.id = due.entry_id),
  letter as (
    update inbox.dead_letters d
    set payload = null, metadata = '{}', error = due.error_type, details = null, pruned_at = now()
    from due where d.id = due.id
    returning true)
  select count(*)::integer from letter
$$;

-- The decisions of migration 0022, and those about this migration's column and function.
alter function inbox.grant_roles() rename to grant_roles_0022;
create function inbox.grant_roles() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform inbox.grant_roles_0022();
  if exists (select from pg_roles where rolname = 'inbox_worker') then
    grant insert (details) on inbox.dead_letters to inbox_worker;
    grant execute on function inbox.settled_messages(uuid[]) to inbox_worker;
  end if;
  if exists (select from pg_roles where rolname = 'inbox_sender') then
    grant execute on function inbox.settled_messages(uuid[]) to inbox_sender;
  end if;
end
$$;

select inbox.grant_roles();
