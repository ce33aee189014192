-- breaking: false
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
      -- Claims, attempts, failures, replays, the relay of events; all that a replay and a discard write.
      ('inbox_worker', 'select, insert, update', 'entries'),
      ('inbox_worker', 'insert', 'failures'),
      ('inbox_worker', 'select, insert, update', 'dead_letters'),
      ('inbox_worker', 'select, insert, update', 'outbox'),
      ('inbox_worker', 'insert', 'audit'),
      ('inbox_worker', 'select', 'migrations'),
      ('inbox_worker', 'select, insert, update, delete', 'campaigns'),
      ('inbox_worker', 'select, insert, update, delete', 'campaign_items'),
      ('inbox_worker', 'select, insert, update, delete', 'alerts'),
      ('inbox_worker', 'select, insert, update, delete', 'dry_run'),
      ('inbox_worker', 'select, insert, update, delete', 'workers'),
      ('inbox_worker', 'select', 'identity'),
      ('inbox_worker', 'select, insert, update', 'outbox_lease'),
      ('inbox_worker', 'select, insert, update, delete', 'outbox_parked'),
      -- Looking at everything; retention, which empties rows and deletes replayed dead letters and published events.
      ('inbox_operator', 'select, update', 'entries'),
      ('inbox_operator', 'select, update', 'failures'),
      ('inbox_operator', 'select, update, delete', 'dead_letters'),
      -- To skip an event is to set published_at; to release one, next_try_at.
      ('inbox_operator', 'select, delete, update (published_at)', 'outbox'),
      ('inbox_operator', 'select', 'outbox_lease'),
      ('inbox_operator', 'select, update (next_try_at)', 'outbox_parked'),
      ('inbox_operator', 'select, insert', 'audit'),
      ('inbox_operator', 'select', 'migrations'),
      ('inbox_operator', 'select, update', 'retention'),
      ('inbox_operator', 'select, insert, delete', 'retention_left'),
      ('inbox_operator', 'select, insert, update', 'campaigns'),
      ('inbox_operator', 'select, insert, update', 'campaign_items'),
      ('inbox_operator', 'select, delete', 'alerts'),
      ('inbox_operator', 'select, insert', 'dry_run'),
      ('inbox_operator', 'select', 'workers'),
      ('inbox_operator', 'select', 'identity'),
      ('inbox_reader', 'select', 'migrations'),
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
          'pruned_at', 'needs_workflow', 'interruptions', 'given_back']),
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
      ('inbox_worker', 'send'),
      ('inbox_worker', 'fingerprint'),
      ('inbox_worker', 'transaction_ended'),
      -- The default of ids before Postgres 18, which is evaluated as the one who inserts.
      ('inbox_worker', 'new_id'),
      ('inbox_operator', 'new_id')
    ) as d (role_name, function_name)
    join pg_proc f on f.proname = d.function_name and f.pronamespace = 'inbox'::regnamespace
    where d.role_name = any (existing)
  loop
    execute format('grant execute on function %s to %I', decision.on_function, decision.role_name);
  end loop;
end
$$;

select inbox.grant_roles();
