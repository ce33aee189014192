-- breaking: false
-- A command's workflow has the command's type.

-- False for workers of earlier releases: they can run only workflows of the type handleCommand.
alter table inbox.workers add column typed_workflows boolean not null default false;

-- Every command type that a worker has known. A workflow can be started with any type: one that is in here waits for a worker
-- that knows it, any other is a mistake.
create table inbox.command_types (
  command_type text primary key,
  first_known_at timestamptz not null default now()
);
-- Those of the running workers, of the open entries, of the latest entries and of the dead letters: all that can be found without
-- reading the whole table of entries.
insert into inbox.command_types (command_type)
with recursive
  pending as (
    (select command_type from inbox.entries where status = 'Pending' order by command_type limit 1)
    union all
    select (select command_type from inbox.entries
            where status = 'Pending' and command_type > pending.command_type order by command_type limit 1)
    from pending where pending.command_type is not null),
  failed as (
    (select command_type from inbox.entries where status = 'Failed' order by command_type limit 1)
    union all
    select (select command_type from inbox.entries
            where status = 'Failed' and command_type > failed.command_type order by command_type limit 1)
    from failed where failed.command_type is not null)
select command_type from pending where command_type is not null
union select command_type from failed where command_type is not null
union select command_type from (select command_type from inbox.entries order by id desc limit 100000) as latest
union select command_type from inbox.dead_letters
union select unnest(command_types) from inbox.workers;

-- As in migration 0021, except that the types of the inbox's own workflows are refused as command types.
create or replace function inbox.message_problem(message_id text, command_type text, payload jsonb, payload_text text,
  correlation_id text, causation_id text, metadata jsonb, metadata_text text) returns text
language sql stable
return case
  when message_id is null then 'message_id is missing'
  -- As JavaScript's trim() sees it; [[:space:]] depends on the collation.
  when message_id !~ '[^ \t\n\v\f\r\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]'
    then 'message_id is empty or blank'
  when message_id ~ '[\u0001-\u001f\u007f-\u009f]' then 'message_id has a control character'
  when octet_length(message_id) > 200 then 'message_id is longer than 200 bytes'
  when command_type is null then 'command_type is missing'
  when command_type = '' then 'command_type is empty'
  when length(command_type) > 200 then 'command_type is longer than 200 characters'
  when command_type ~ '[\u0001-\u001f\u007f-\u009f]' then 'command_type has a control character'
  when command_type in ('handleCommand', 'replayCampaign', 'deliverAlert')
    then 'command_type is ' || command_type || ', the type of one of the inbox''s own workflows'
  when payload_text is null then 'payload is missing'
  when octet_length(payload_text) > 1048576
    then format('payload is %s bytes as Postgres stores it; the limit is 1048576', octet_length(payload_text))
  when correlation_id = '' then 'correlation_id is empty'
  when length(correlation_id) > 255 then 'correlation_id is longer than 255 characters'
  when correlation_id ~ '[\u0001-\u001f\u007f-\u009f]' then 'correlation_id has a control character'
  when causation_id = '' then 'causation_id is empty'
  when length(causation_id) > 255 then 'causation_id is longer than 255 characters'
  when causation_id ~ '[\u0001-\u001f\u007f-\u009f]' then 'causation_id has a control character'
  when metadata_text is null then 'metadata is not an object'
  when octet_length(metadata_text) > 65536
    then format('metadata is %s bytes as Postgres stores it; the limit is 65536', octet_length(metadata_text))
  -- Level 0 is the value itself, and one more here for the array around the two. 201 levels take 402 brackets.
  when octet_length(payload_text) + octet_length(metadata_text) >= 402
    and jsonb_path_exists(jsonb_build_array(payload, metadata),
      'strict $.**{201} ? (@.type() == "array" || @.type() == "object")')
    then 'payload or metadata is nested deeper than 200 levels'
  -- jsonb's text never has an exponent. A number of up to 15 digits is exact as a double, so a text without a run of 16 digits
  -- and points needs no look at its numbers.
  when payload_text ~ '[0-9.]{16}' or metadata_text ~ '[0-9.]{16}' then inbox.find_inexact_number(payload, metadata)
end;

-- The same in the checks of migration 0023.
create or replace function inbox.check_entry() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
  broken text;
begin
  -- Most steps are an insertion, a claim or a completion. Each of them is a single condition, because PL/pgSQL initializes
  -- every condition again in each transaction.
  if tg_op = 'INSERT' then
    if new.generation = 0 and new.retry_count = 0
      and (new.status = 'Pending' and new.attempt = 0
        or new.status = 'Processing' and new.attempt = 1 and new.claimed_at is not null)
      and num_nonnulls(new.processed_at, new.result, new.next_retry_at, new.error, new.pruned_at) = 0
      and new.payload is not null and jsonb_typeof(new.metadata) = 'object'
      and length(new.command_type) between 1 and 200
      and new.command_type not in ('handleCommand', 'replayCampaign', 'deliverAlert')
      and octet_length(new.message_id) between 1 and 200
      and new.message_id !~ '[\u0001-\u001f\u007f-\u009f]'
      and new.message_id ~ '[^ \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]'
    then
      return new;
    end if;
  elsif new.message_id = old.message_id and new.command_type = old.command_type and new.metadata = old.metadata
    and new.generation >= 0 and new.retry_count = old.retry_count and new.retry_count between 0 and new.attempt
    and new.claimed_at is not null and new.payload is not null and num_nonnulls(new.next_retry_at, new.pruned_at) = 0
    and (case new.status
      when 'Processing' then old.status in ('Pending', 'Failed') and new.attempt = old.attempt + 1
        and num_nonnulls(new.processed_at, new.result) = 0 and coalesce(octet_length(new.error), 0) <= 4096
      when 'Completed' then old.status = 'Processing' and new.attempt = old.attempt and new.attempt > 0
        and new.processed_at is not null and new.error is null
      else false
    end)
  then
    return new;
  end if;
  -- The state machine of the contract, as far as one row can tell.
  if new.status = 'Completed' then
    if new.processed_at is null then broken := 'completed_has_time';
    elsif new.error is not null then broken := 'completed_has_no_error';
    end if;
  elsif new.processed_at is not null then broken := 'completed_has_time';
  elsif new.result is not null then broken := 'only_completed_has_result';
  elsif new.error is null and new.status in ('Failed', 'DeadLetter') then broken := 'failure_has_error';
  end if;
  if (new.status = 'Failed') <> (new.next_retry_at is not null) then broken := 'failed_has_next_retry';
  elsif new.retry_count < 0 or new.generation < 0 or new.attempt < new.retry_count then broken := 'counters_agree';
  elsif new.attempt = 0 then
    if new.status not in ('Pending', 'DeadLetter') then broken := 'new_was_never_tried'; end if;
  elsif new.claimed_at is null then broken := 'attempt_was_claimed';
  end if;
  if new.error is not null and octet_length(new.error) > 4096 then broken := 'error_is_short'; end if;
  -- An entry may be pruned as Completed, or as the DeadLetter of a discarded one.
  if new.pruned_at is null then
    if new.payload is null then broken := 'only_pruned_has_no_payload'; end if;
  elsif new.status not in ('Completed', 'DeadLetter') or new.payload is not null or new.metadata <> '{}'
    or new.result is not null then broken := 'pruned_is_over_and_empty';
  end if;
  -- These columns are only checked when they are set.
  if tg_op = 'INSERT' or new.message_id <> old.message_id or new.command_type <> old.command_type
    or new.metadata <> old.metadata then
    if octet_length(new.message_id) not between 1 and 200
      or new.message_id ~ '[\u0001-\u001f\u007f-\u009f]'
      -- Blank, as JavaScript's trim() sees it: [[:space:]] is ASCII only under this collation.
      or new.message_id !~ '[^ \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]'
      then broken := 'message_id_is_usable';
    elsif length(new.command_type) not between 1 and 200
      or tg_op = 'INSERT' and new.command_type in ('handleCommand', 'replayCampaign', 'deliverAlert')
      then broken := 'command_type_is_usable';
    elsif jsonb_typeof(new.metadata) <> 'object' then broken := 'metadata_is_object';
    end if;
  end if;
  -- A new row waits, or was claimed by its insertion. Later it is claimed, given back, completed or has failed; `attempt` is
  -- counted with the claim and `retry_count` with the failure.
  if tg_op = 'INSERT' then
    if new.generation > 0 or new.retry_count > 0
      or not (new.status = 'Pending' and new.attempt = 0 or new.status = 'Processing' and new.attempt = 1)
      then broken := coalesce(broken, 'legal_step');
    end if;
  elsif new.status = old.status then
    if new.attempt <> old.attempt or new.retry_count <> old.retry_count or new.error is distinct from old.error
      or new.status = 'Completed'
        and (new.processed_at <> old.processed_at or new.result is distinct from old.result)
      then broken := coalesce(broken, 'legal_step');
    end if;
  elsif new.status = 'Processing' then
    if old.status not in ('Pending', 'Failed') or new.attempt <> old.attempt + 1 or new.retry_count <> old.retry_count
      then broken := coalesce(broken, 'legal_step');
    end if;
  elsif old.status <> 'Processing' or new.attempt <> old.attempt then
    broken := coalesce(broken, 'legal_step');
  elsif new.retry_count <> old.retry_count then
    if new.retry_count <> old.retry_count + 1 or new.status not in ('Failed', 'DeadLetter')
      then broken := coalesce(broken, 'legal_step');
    end if;
  elsif new.status = 'DeadLetter' or new.status = 'Pending' and new.retry_count > 0 then
    broken := coalesce(broken, 'legal_step');
  end if;
  if broken = 'legal_step' then
    -- Not in one condition: then everybody who writes would need the right to call the function.
    if inbox.is_owner() then
      return new;
    end if;
  end if;
  if broken is not null then
    raise exception using
      errcode = case broken when 'legal_step' then 'insufficient_privilege' else 'check_violation' end,
      schema = 'inbox', table = 'entries', constraint = broken,
      message = format('the entry of message_id %L breaks the rule %s', new.message_id, broken);
  end if;
  return new;
end
$$;

-- The decisions of migration 0024, and those about this migration's table.
alter function inbox.grant_roles() rename to grant_roles_0024;
create function inbox.grant_roles() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform inbox.grant_roles_0024();
  if exists (select from pg_roles where rolname = 'inbox_worker') then
    grant select, insert (command_type) on inbox.command_types to inbox_worker;
  end if;
  if exists (select from pg_roles where rolname = 'inbox_operator') then
    grant select on inbox.command_types to inbox_operator;
  end if;
  if exists (select from pg_roles where rolname = 'inbox_reader') then
    grant select on inbox.command_types to inbox_reader;
  end if;
end
$$;

select inbox.grant_roles();
