-- breaking: false
-- Roles that may do what their documentation says and nothing else: what people and programs do to rows that they must not
-- edit freely is done by functions, which write the audit line with it; columns that never change are guarded by triggers.
-- No role has a right with which it could lock a table.
--
-- Workers of earlier releases whose login is in inbox_worker keep running: for them the role may still insert new entries. Their
-- heartbeats, replays, discards, changes of campaigns and the release of parked aggregates fail, and are tried again, until a
-- worker of this release does them.

-- Whether the current user has the rights of the tables' owner: in a migration, in one of the functions below, or when the owner
-- types a statement.
create function inbox.is_owner() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select pg_has_role(current_user, relowner, 'usage') from pg_class where oid = 'inbox.entries'::regclass
$$;

-- For columns that nobody but the owner changes, and rows that nobody but the owner deletes.
create function inbox.refuse_edit() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if inbox.is_owner() then
    return case tg_op when 'DELETE' then old else new end;
  end if;
  raise exception using errcode = 'insufficient_privilege', schema = tg_table_schema, table = tg_table_name,
    message = case tg_op
      when 'DELETE' then format('rows of inbox.%I are not deleted by hand', tg_table_name)
      else format('this column of inbox.%I is never changed', tg_table_name) end,
    hint = 'nothing was changed; docs/security.md says what each role may do';
end
$$;

create trigger entry_is_not_edited
  before delete or update of id, message_id, command_type, payload, received_at, correlation_id, causation_id, metadata,
    generation, fingerprint, reply_to, sent_by, pruned_at
  on inbox.entries for each row execute function inbox.refuse_edit();

create trigger failure_is_not_edited before delete or update on inbox.failures
  for each row execute function inbox.refuse_edit();

-- Alerts note in alert_id which of them tells of a dead letter.
create trigger dead_letter_is_not_edited
  before delete or update of id, message_id, generation, command_type, payload, correlation_id, causation_id, metadata,
    error_type, error, failure_group, reason, retry_count, build_id, dead_at, resolution, resolved_at, resolved_by,
    resolved_reason, pruned_at
  on inbox.dead_letters for each row execute function inbox.refuse_edit();

create trigger event_is_not_edited
  before delete or update of id, position, aggregatetype, aggregateid, type, payload, metadata, message_id, created_at
  on inbox.outbox for each row execute function inbox.refuse_edit();

create trigger campaign_is_not_edited
  before delete or update of id, created_at, actor, reason, filter, canary, rate, concurrency, stop_above, total, state,
    state_reason, ended_at, judged_from, judged_since
  on inbox.campaigns for each row execute function inbox.refuse_edit();

create trigger campaign_item_is_not_edited
  before delete or update of campaign_id, position, dead_letter_id, message_id, generation, replayed_at
  on inbox.campaign_items for each row execute function inbox.refuse_edit();

create trigger published_stays_published before update of published_at on inbox.outbox
  for each row when (old.published_at is not null) execute function inbox.refuse_edit();

create trigger outcome_is_final before update of outcome, settled_at on inbox.campaign_items
  for each row when (old.outcome is not null) execute function inbox.refuse_edit();

-- The rules of a row, as before, and the steps that an entry may take. The owner may take others, in a repair by hand for
-- example; so may the functions that replay and prune.
create or replace function inbox.check_entry() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
  broken text;
begin
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
  -- What never changes is looked at once.
  if tg_op = 'INSERT' or new.message_id <> old.message_id or new.command_type <> old.command_type
    or new.metadata <> old.metadata then
    if octet_length(new.message_id) not between 1 and 200
      or new.message_id ~ '[\u0001-\u001f\u007f-\u009f]'
      -- Blank, as JavaScript's trim() sees it: [[:space:]] is ASCII only under this collation.
      or new.message_id !~ '[^ \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]'
      then broken := 'message_id_is_usable';
    elsif length(new.command_type) not between 1 and 200 then broken := 'command_type_is_usable';
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

-- Functions for what people ask for. Each writes its line of the audit in the statement that makes the change.

-- Gives an open dead letter new attempts. A payload replaces that of the entry. `changed`: where the two payloads differ, for
-- the audit. Returns the new generation, or null when no dead letter is open, or not the one that is meant.
create function inbox.replay_dead_letter(message_id text, actor text, reason text, payload jsonb, dead_letter_id uuid,
  campaign_id uuid, changed jsonb) returns integer
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with letter as (
    update inbox.dead_letters d
    set resolution = 'replayed', resolved_at = now(), resolved_by = replay_dead_letter.actor,
        resolved_reason = replay_dead_letter.reason
    where d.message_id = replay_dead_letter.message_id and coalesce(d.resolution, '') = ''
      and (replay_dead_letter.dead_letter_id is null or d.id = replay_dead_letter.dead_letter_id)
    returning d.id, d.message_id, d.generation),
  entry as (
    update inbox.entries e
    set status = 'Pending', generation = e.generation + 1, retry_count = 0, interruptions = 0,
        payload = coalesce(replay_dead_letter.payload, e.payload), relayed_at = now()
    from letter
    where e.message_id = letter.message_id and e.status::text = 'DeadLetter'
    returning e.message_id, e.generation),
  item as (
    update inbox.campaign_items i set replayed_at = now() from letter
    where i.dead_letter_id = letter.id and i.campaign_id = replay_dead_letter.campaign_id),
  audited as (
    insert into inbox.audit (action, message_id, actor, reason, details)
    select 'replay', letter.message_id, replay_dead_letter.actor, replay_dead_letter.reason,
           jsonb_build_object('deadLetterId', letter.id, 'generation', entry.generation,
               'newPayload', replay_dead_letter.payload is not null)
             || case when replay_dead_letter.campaign_id is null then '{}'
                  else jsonb_build_object('campaign', replay_dead_letter.campaign_id) end
             || case when replay_dead_letter.changed is null then '{}'
                  else jsonb_build_object('changed', replay_dead_letter.changed) end
    from letter join entry using (message_id))
  select generation from entry
$$;

-- Gives an open dead letter up for good. False when none is open, or not the one that is meant.
create function inbox.discard_dead_letter(message_id text, actor text, reason text, dead_letter_id uuid) returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with letter as (
    update inbox.dead_letters d
    set resolution = 'discarded', resolved_at = now(), resolved_by = discard_dead_letter.actor,
        resolved_reason = discard_dead_letter.reason
    where d.message_id = discard_dead_letter.message_id and coalesce(d.resolution, '') = ''
      and (discard_dead_letter.dead_letter_id is null or d.id = discard_dead_letter.dead_letter_id)
    returning d.id, d.message_id),
  audited as (
    insert into inbox.audit (action, message_id, actor, reason, details)
    select 'discard', letter.message_id, discard_dead_letter.actor, discard_dead_letter.reason,
           jsonb_build_object('deadLetterId', letter.id)
    from letter)
  select exists (select from letter)
$$;

-- Opens the message's last dead letter again if it was discarded and nothing of it was pruned. False when it was not.
create function inbox.restore_dead_letter(message_id text, actor text, reason text) returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with discarded as (
    select d.id, d.resolved_by, d.resolved_reason, d.resolved_at
    from inbox.dead_letters d join inbox.entries e using (message_id, generation)
    where d.message_id = restore_dead_letter.message_id and coalesce(d.resolution, '') = 'discarded'
      and d.pruned_at is null and e.status::text = 'DeadLetter' and e.pruned_at is null
    for update of d),
  letter as (
    update inbox.dead_letters d
    set resolution = null, resolved_at = null, resolved_by = null, resolved_reason = null
    from discarded
    where d.id = discarded.id
    returning d.id, d.message_id, discarded.resolved_by, discarded.resolved_reason, discarded.resolved_at),
  audited as (
    insert into inbox.audit (action, message_id, actor, reason, details)
    select 'restore', letter.message_id, restore_dead_letter.actor, restore_dead_letter.reason,
           jsonb_build_object('deadLetterId', letter.id, 'discardedBy', letter.resolved_by,
             'discardedBecause', letter.resolved_reason, 'discardedAt', letter.resolved_at)
    from letter),
  -- A run of retention may have passed it.
  noted as (
    insert into inbox.retention_left (entry_id)
    select e.id from letter join inbox.entries e using (message_id)
    on conflict do nothing)
  select exists (select from letter)
$$;

-- Changes the state of a campaign that is in one of the states `from_states`. False when it is in another one.
create function inbox.change_campaign(campaign_id uuid, from_states text[], to_state text, action text, actor text,
  reason text) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from (values
      ('campaign-paused', array['Running'], 'Paused'),
      ('campaign-resumed', array['Paused'], 'Running'),
      ('campaign-aborted', array['Running', 'Paused'], 'Aborted'),
      ('campaign-finished', array['Running'], 'Finished')) as legal (action, from_states, to_state)
    where legal.action = change_campaign.action and legal.to_state = change_campaign.to_state
      and change_campaign.from_states <@ legal.from_states)
  then
    raise exception using errcode = 'insufficient_privilege',
      message = format('a campaign is not changed to %L by %L', to_state, action);
  end if;
  with before as (
    select c.id, c.state, coalesce((
      select max(i.position) from inbox.campaign_items i
      where i.campaign_id = change_campaign.campaign_id and (i.asked_at is not null or i.outcome is not null)), 0) as reached
    from inbox.campaigns c
    where c.id = change_campaign.campaign_id and c.state = any (change_campaign.from_states) for update),
  campaign as (
    update inbox.campaigns c
    set state = to_state, state_reason = change_campaign.reason,
        ended_at = case when to_state in ('Aborted', 'Finished') then now() end,
        judged_from = case when to_state = 'Running' then before.reached + 1 else c.judged_from end,
        judged_since = case when to_state = 'Running' then statement_timestamp() else c.judged_since end
    from before where c.id = before.id
    returning c.id, before.state as was, c.completed, c.failed, c.skipped)
  insert into inbox.audit (action, campaign_id, actor, reason, details)
  select change_campaign.action, id, change_campaign.actor, change_campaign.reason,
         jsonb_build_object('from', was, 'completed', completed, 'failed', failed, 'skipped', skipped)
  from campaign;
  return found;
end
$$;

-- Making a campaign writes the line of the audit, and no items can be added to the campaign later.
create function inbox.audit_campaign() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into inbox.audit (action, campaign_id, actor, reason, details)
  values ('campaign-started', new.id, new.actor, new.reason, jsonb_build_object('total', new.total, 'filter', new.filter));
  return null;
end
$$;

create trigger campaign_is_audited after insert on inbox.campaigns
  for each row execute function inbox.audit_campaign();

create function inbox.refuse_later_items() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if not inbox.is_owner() and exists (
    select from (select distinct campaign_id from added) as a join inbox.campaigns c on c.id = a.campaign_id
    where c.created_at <> now())
  then
    raise exception using errcode = 'insufficient_privilege', schema = 'inbox', table = 'campaign_items',
      message = 'nothing is added to a campaign after it was made', hint = 'make another campaign';
  end if;
  return null;
end
$$;

create trigger campaign_has_its_items after insert on inbox.campaign_items
  referencing new table as added for each statement execute function inbox.refuse_later_items();

-- The audit line of what was done about an event; none where its command is not in the inbox.
create function inbox.audit_event(event_id uuid, action text, actor text, reason text) returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
  with audited as (
    insert into inbox.audit (action, message_id, actor, reason, details)
    select audit_event.action, o.message_id, audit_event.actor, audit_event.reason,
           jsonb_build_object('eventId', o.id, 'eventType', left(o.type, 300),
             'aggregateType', left(o.aggregatetype, 300), 'aggregateId', left(o.aggregateid, 300))
    from inbox.outbox o join inbox.entries using (message_id)
    where o.id = audit_event.event_id
    returning true)
  select exists (select from audited)
$$;

-- Makes the next try of parked events due: of these, or of all (null). Returns their ids.
create function inbox.release_parked(event_ids uuid[], actor text, reason text) returns setof uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  released uuid;
begin
  for released in
    update inbox.outbox_parked p set next_try_at = now()
    where event_ids is null or p.event_id = any (event_ids)
    returning p.event_id
  loop
    perform inbox.audit_event(released, 'release-event', actor, reason);
    return next released;
  end loop;
end
$$;

-- Gives a parked event up: it counts as published, and its aggregate goes on with the next one. Null: it is not parked, or was
-- published meanwhile. False: its command is not in the inbox, so that there is nothing to write the audit line for, and nothing
-- was done.
create function inbox.skip_event(event_id uuid, actor text, reason text) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  lane bigint;
begin
  select p.id into lane from inbox.outbox_parked p where p.event_id = skip_event.event_id;
  if not found then
    return null;
  end if;
  if not exists (select from inbox.outbox o join inbox.entries using (message_id) where o.id = skip_event.event_id) then
    return false;
  end if;
  update inbox.outbox o set published_at = now()
  where o.id = skip_event.event_id and coalesce(o.published_at, '-infinity') = '-infinity';
  if not found then
    return null;
  end if;
  update inbox.outbox_parked p set next_try_at = now() where p.id = lane;
  return inbox.audit_event(skip_event.event_id, 'skip-event', actor, reason);
end
$$;

-- Retention. Each function takes what is over and nothing else, whatever it is given.

create function inbox.lock_retention() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select from inbox.retention for update
$$;

-- Never back: another run may be further. And never beyond what is a day old: a row that is committed late has an id from when it
-- was written, and what is above the mark is looked at by the next run.
create function inbox.move_settled_mark(mark uuid) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  update inbox.retention set settled_to = mark
  where settled_to < mark
    and mark <= rpad(lpad(to_hex((extract(epoch from now() - interval '1 day') * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;

-- Whether nothing will happen to an entry any more unless a person restores it.
create function inbox.is_over(e inbox.entries) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select e.status::text = 'Completed' or e.status::text = 'DeadLetter' and not exists (
    select from inbox.dead_letters d where d.message_id = e.message_id and d.resolution is null)
$$;

create function inbox.empty_failures(message_ids text[], most integer) returns integer
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with texts as materialized (
    select f.id from inbox.failures f join inbox.entries e using (message_id)
    where f.message_id = any (message_ids) and (f.stack is not null or f.error <> f.error_type) and inbox.is_over(e)
    order by f.id limit most for update of f),
  emptied as (
    update inbox.failures f set error = f.error_type, stack = null from texts where f.id = texts.id returning true)
  select count(*)::integer from emptied
$$;

-- Returns the ids of those that were emptied. A row that somebody else has locked is left for the next run.
create function inbox.prune_entries(ids uuid[], before timestamptz) returns setof uuid
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with due as materialized (
    select id from inbox.entries
    where id = any (ids) and status::text = 'Completed' and processed_at < before and pruned_at is null
    for no key update skip locked)
  update inbox.entries e set payload = null, metadata = '{}', result = null, pruned_at = now()
  from due where e.id = due.id
  returning e.id
$$;

-- The entry of a discarded dead letter goes with it: both hold the same payload, and nothing will use it again.
create function inbox.prune_discarded(ids uuid[]) returns integer
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
    update inbox.dead_letters d set payload = null, metadata = '{}', error = due.error_type, pruned_at = now()
    from due where d.id = due.id
    returning true)
  select count(*)::integer from letter
$$;

create function inbox.delete_replayed(ids uuid[]) returns integer
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with deleted as (
    delete from inbox.dead_letters d using inbox.entries e
    where d.id = any (ids) and coalesce(d.resolution, '') = 'replayed' and e.message_id = d.message_id and inbox.is_over(e)
    returning true)
  select count(*)::integer from deleted
$$;

create function inbox.delete_published(ids uuid[], before timestamptz) returns integer
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with deleted as (delete from inbox.outbox where id = any (ids) and published_at < before returning true)
  select count(*)::integer from deleted
$$;

create function inbox.delete_alerts(ids uuid[], before timestamptz) returns integer
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with deleted as (delete from inbox.alerts where id = any (ids) and ended_at < before returning true)
  select count(*)::integer from deleted
$$;

-- Notes what the mark is about to pass and no run has pruned.
create function inbox.note_left(ids uuid[], mark uuid) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into inbox.retention_left (entry_id)
  select id from inbox.entries where id = any (ids) and id <= mark and pruned_at is null
  on conflict do nothing
$$;

create function inbox.forget_left(ids uuid[]) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  delete from inbox.retention_left l using inbox.entries e
  where l.entry_id = any (ids) and e.id = l.entry_id
    and (e.pruned_at is not null or e.status::text = 'DeadLetter' and inbox.is_over(e))
$$;

-- Removes the row of a worker that ends, and those of workers that died a day ago.
create function inbox.remove_workers(worker_id uuid) returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  delete from inbox.workers where id = worker_id or seen_at < now() - interval '1 day'
$$;

-- Ends the parking of an aggregate. Only for the relay that holds the lease; it must have moved the lane's events back, in the same
-- statement at the latest, which this function cannot see.
create function inbox.remove_parked(lane bigint, lease_holder uuid) returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with removed as (
    delete from inbox.outbox_parked p
    where p.id = lane
      and exists (select from inbox.outbox_lease l where l.holder = lease_holder and l.until > clock_timestamp())
    returning true)
  select exists (select from removed)
$$;

-- Attempts that were begun longer ago and do not run: a running one holds its row. At most 1,000 of them. To find out takes a lock
-- of each, which is let go at once.
create function inbox.lost_attempts(age interval, out message_id text, out claimed_at timestamptz) returns setof record
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  ids text[];
  times timestamptz[];
begin
  begin
    select array_agg(lost.message_id), array_agg(lost.claimed_at) into ids, times
    from (select e.message_id, e.claimed_at from inbox.entries e
          where e.status = 'Processing' and e.claimed_at < now() - greatest(age, interval '0')
          order by e.claimed_at limit 1000 for share skip locked) as lost;
    raise exception using errcode = 'IB000';
  exception
    -- Only this ends a lock before the transaction does.
    when sqlstate 'IB000' then
      null;
  end;
  return query select * from unnest(ids, times);
end
$$;

-- Every decision, in one place: all that was granted to the four roles in this schema is taken back and granted anew, so that
-- it can be called as often as one likes, and what is not here is not granted. Only to roles that exist, and on what exists:
-- a later migration that brings a table or a function calls it at its end, and replaces it where a decision is missing.
-- By hand, as the owner of the schema: after making the roles, and in a database restored where they were not.
-- What you grant to these roles yourself is taken back as well: grant it to your own logins.
create or replace function inbox.grant_roles() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  existing text[] := array(
    select rolname::text from pg_roles
    where rolname in ('inbox_sender', 'inbox_worker', 'inbox_operator', 'inbox_reader'));
  grantee text;
  decision record;
begin
  revoke all on schema inbox from public;
  revoke all on all tables in schema inbox from public;
  revoke all on all sequences in schema inbox from public;
  -- Functions are everybody's unless told otherwise. A trigger's needs no grant: it was checked when the trigger was made.
  revoke all on all routines in schema inbox from public;
  revoke all on type inbox.entry_status from public;

  foreach grantee in array existing loop
    execute format('revoke all on all tables in schema inbox from %I', grantee);
    execute format('revoke all on all sequences in schema inbox from %I', grantee);
    execute format('revoke all on all routines in schema inbox from %I', grantee);
    execute format('grant usage on schema inbox to %I', grantee);
    begin
      -- Where the right to connect was taken from PUBLIC, as in our Compose file, a member could not even come in.
      execute format('grant connect on database %I to %I', current_database(), grantee);
    exception when insufficient_privilege then
      raise notice 'the right to connect to % is for its owner to grant to %', current_database(), grantee;
    end;
  end loop;

  for decision in
    select d.role_name, d.privileges, t.oid::regclass as on_table
    from (values
      -- The versions of the schema, which every program checks when it starts.
      ('inbox_sender', 'select', 'migrations'),
      ('inbox_worker', 'select', 'migrations'),
      ('inbox_operator', 'select', 'migrations'),
      ('inbox_reader', 'select', 'migrations'),
      -- Claims, attempts and failures.
      -- The right to insert is for workers of earlier releases; a trigger allows new rows only.
      ('inbox_worker', 'insert (message_id, command_type, payload, correlation_id, causation_id, metadata, fingerprint, reply_to, status, attempt, claimed_at, relayed_at)', 'entries'),
      ('inbox_worker', 'select, update (status, processed_at, retry_count, next_retry_at, error, attempt, result, claimed_at, relayed_at, needs_workflow, interruptions, given_back)', 'entries'),
      ('inbox_worker', 'insert', 'failures'),
      ('inbox_worker', 'select, insert (message_id, generation, command_type, payload, correlation_id, causation_id, metadata, error_type, error, failure_group, reason, retry_count, build_id), update (alert_id)', 'dead_letters'),
      ('inbox_worker', 'select, insert (aggregatetype, aggregateid, type, payload, metadata, message_id, created_at), update (published_at, parked)', 'outbox'),
      ('inbox_worker', 'select, insert, update (holder, name, until, position)', 'outbox_lease'),
      ('inbox_worker', 'select, insert, update (event_id, error, attempts, failed_at, next_try_at)', 'outbox_parked'),
      ('inbox_worker', 'select, update (completed, failed, skipped)', 'campaigns'),
      ('inbox_worker', 'select, update (asked_at, outcome, settled_at)', 'campaign_items'),
      ('inbox_worker', 'select, insert (failure_group, command_type, error_type, count, first_dead_at, last_dead_at, message_ids, waiting), update (waiting, given_up, due_at, tries, first_tried_at, last_error, ended_at)', 'alerts'),
      ('inbox_worker', 'select, insert, update (seen_at)', 'workers'),
      ('inbox_worker', 'select', 'identity'),
      -- Looking at everything, making campaigns and trying fixes; all else that people do is done by functions.
      ('inbox_operator', 'select', 'entries'),
      ('inbox_operator', 'select', 'failures'),
      ('inbox_operator', 'select', 'dead_letters'),
      ('inbox_operator', 'select', 'outbox'),
      ('inbox_operator', 'select', 'outbox_lease'),
      ('inbox_operator', 'select', 'outbox_parked'),
      ('inbox_operator', 'select', 'audit'),
      ('inbox_operator', 'select', 'retention'),
      ('inbox_operator', 'select', 'retention_left'),
      ('inbox_operator', 'select, insert (actor, reason, filter, canary, rate, concurrency, stop_above, total)', 'campaigns'),
      ('inbox_operator', 'select, insert (campaign_id, position, dead_letter_id, message_id, generation)', 'campaign_items'),
      ('inbox_operator', 'select', 'alerts'),
      ('inbox_operator', 'select, insert', 'dry_run'),
      ('inbox_operator', 'select', 'workers'),
      ('inbox_operator', 'select', 'identity'),
      ('inbox_operator', 'select', 'sender_limits'),
      ('inbox_operator', 'select', 'turns'),
      ('inbox_reader', 'select', 'workers'),
      ('inbox_reader', 'select', 'identity'),
      ('inbox_reader', 'select', 'outbox_lease'),
      ('inbox_reader', 'select', 'retention'),
      ('inbox_reader', 'select', 'retention_left'),
      ('inbox_reader', 'select', 'campaigns'),
      ('inbox_reader', 'select', 'campaign_items')
    ) as d (role_name, privileges, table_name)
    join pg_class t on t.relname = d.table_name and t.relnamespace = 'inbox'::regnamespace and t.relkind in ('r', 'p')
    where d.role_name = any (existing)
  loop
    execute format('grant %s on %s to %I', decision.privileges, decision.on_table, decision.role_name);
  end loop;

  -- A reader sees what happens to commands and nothing of what is in them: not payload, metadata and result; nor error and
  -- stack, which may repeat a payload; nor the fingerprint, against which a short payload could be guessed; nor the audit's
  -- details, where a replay with another payload has what was changed; nor what a hook threw or a webhook answered. Named
  -- are the columns it may see, so that a new one is hidden until somebody has decided.
  if 'inbox_reader' = any (existing) then
    for decision in
      select c.attrelid::regclass as on_table, string_agg(quote_ident(c.attname), ', ' order by c.attnum) as columns
      from (values
        ('entries', array['id', 'message_id', 'command_type', 'status', 'received_at', 'processed_at', 'retry_count',
          'next_retry_at', 'correlation_id', 'causation_id', 'attempt', 'generation', 'claimed_at', 'relayed_at',
          'pruned_at', 'needs_workflow', 'interruptions', 'given_back', 'sent_by']),
        ('failures', array['id', 'message_id', 'generation', 'attempt', 'failed_at', 'error_type', 'retryable',
          'next_retry_at', 'worker', 'build_id']),
        ('dead_letters', array['id', 'message_id', 'generation', 'command_type', 'correlation_id', 'causation_id',
          'error_type', 'failure_group', 'reason', 'retry_count', 'build_id', 'dead_at', 'resolution', 'resolved_at',
          'resolved_by', 'resolved_reason', 'pruned_at', 'alert_id']),
        ('outbox', array['id', 'position', 'aggregatetype', 'aggregateid', 'type', 'message_id', 'created_at',
          'published_at', 'parked']),
        ('outbox_parked', array['id', 'event_id', 'attempts', 'parked_at', 'failed_at', 'next_try_at']),
        ('audit', array['id', 'at', 'action', 'message_id', 'actor', 'reason', 'campaign_id']),
        ('alerts', array['id', 'failure_group', 'command_type', 'error_type', 'count', 'first_dead_at', 'last_dead_at',
          'message_ids', 'created_at', 'waiting', 'given_up', 'due_at', 'tries', 'first_tried_at', 'ended_at'])
      ) as d (table_name, columns)
      join pg_class t on t.relname = d.table_name and t.relnamespace = 'inbox'::regnamespace
      join pg_attribute c on c.attrelid = t.oid and c.attname = any (d.columns) and not c.attisdropped
      group by c.attrelid
    loop
      execute format('grant select (%s) on %s to inbox_reader', decision.columns, decision.on_table);
    end loop;
  end if;

  for decision in
    select d.role_name, f.oid::regprocedure as on_function
    from (values
      ('inbox_sender', 'send'),
      ('inbox_sender', 'send_messages'),
      ('inbox_sender', 'send_unblocked'),
      ('inbox_sender', 'known_messages'),
      ('inbox_sender', 'settled_entries'),
      ('inbox_sender', 'entry_of'),
      ('inbox_worker', 'send'),
      ('inbox_worker', 'send_messages'),
      ('inbox_worker', 'send_unblocked'),
      ('inbox_worker', 'known_messages'),
      ('inbox_worker', 'settled_entries'),
      ('inbox_worker', 'entry_of'),
      ('inbox_worker', 'insert_and_claim'),
      ('inbox_worker', 'fingerprint'),
      ('inbox_worker', 'transaction_ended'),
      -- The default of ids before Postgres 18, which is evaluated as the one who inserts.
      ('inbox_worker', 'new_id'),
      ('inbox_worker', 'replay_dead_letter'),
      ('inbox_worker', 'discard_dead_letter'),
      ('inbox_worker', 'change_campaign'),
      ('inbox_worker', 'try_turn'),
      ('inbox_worker', 'remove_workers'),
      ('inbox_worker', 'remove_parked'),
      ('inbox_worker', 'is_owner'),
      ('inbox_worker', 'lost_attempts'),
      ('inbox_operator', 'new_id'),
      ('inbox_operator', 'is_owner'),
      ('inbox_operator', 'lost_attempts'),
      ('inbox_operator', 'entry_of'),
      ('inbox_operator', 'restore_dead_letter'),
      ('inbox_operator', 'release_parked'),
      ('inbox_operator', 'skip_event'),
      ('inbox_operator', 'lock_retention'),
      ('inbox_operator', 'move_settled_mark'),
      ('inbox_operator', 'empty_failures'),
      ('inbox_operator', 'prune_entries'),
      ('inbox_operator', 'prune_discarded'),
      ('inbox_operator', 'delete_replayed'),
      ('inbox_operator', 'delete_published'),
      ('inbox_operator', 'delete_alerts'),
      ('inbox_operator', 'note_left'),
      ('inbox_operator', 'forget_left')
    ) as d (role_name, function_name)
    join pg_proc f on f.proname = d.function_name and f.pronamespace = 'inbox'::regnamespace
    where d.role_name = any (existing)
  loop
    execute format('grant execute on function %s to %I', decision.on_function, decision.role_name);
  end loop;
end
$$;

select inbox.grant_roles();
