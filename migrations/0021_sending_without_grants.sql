-- breaking: false
-- Sending through functions only: a sender needs no right on any table, and waits only a short time for somebody else's
-- transaction.

-- The login that sent the entry through Postgres. Null for commands that a Temporal client started, and for older entries.
alter table inbox.entries add column sent_by text;

-- What a login may send; a login without a row may send everything. The owner of the schema fills it:
--   insert into inbox.sender_limits (login, id_prefix, command_types) values ('orders', 'order-', '{PlaceOrder,CancelOrder}');
create table inbox.sender_limits (
  -- As in session_user: SET ROLE does not change what a login may send.
  login         text primary key,
  -- Its message ids must begin with this text. Empty: any id.
  id_prefix     text not null default '',
  -- The command types that it may send. Null: all.
  command_types text[]
);

-- Refuses a message that the login may not send.
create function inbox.check_sender(message_id text, command_type text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
  allowed inbox.sender_limits;
begin
  select * into allowed from inbox.sender_limits where login = session_user;
  if not found then
    return;
  end if;
  if not starts_with(message_id, allowed.id_prefix) then
    raise exception using errcode = 'insufficient_privilege',
      message = format('the login %I may only send message ids that begin with %L, and not %L', session_user,
        allowed.id_prefix, message_id),
      hint = 'nothing was stored; the owner of the schema decides in inbox.sender_limits';
  end if;
  if command_type <> all (allowed.command_types) then
    raise exception using errcode = 'insufficient_privilege',
      message = format('the login %I may not send commands of type %L (message_id %L)', session_user, command_type,
        message_id),
      hint = 'nothing was stored; the owner of the schema decides in inbox.sender_limits';
  end if;
end
$$;

-- The shorter of the session's lock_timeout and this limit, as a value for lock_timeout.
create function inbox.shorter_lock_timeout(wait_ms integer) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
  current constant text := current_setting('lock_timeout');
begin
  if current = '0' or current::interval > make_interval(secs => wait_ms / 1000.0) then
    return wait_ms || 'ms';
  end if;
  return current;
end
$$;

-- Stores the messages that are not there yet and returns their entries. Each message is an object with messageId, commandType,
-- payload, correlationId, causationId, metadata, replyTo (a channel that is notified when the command is settled) and taken
-- ('claimed' or 'leased' where the sending process takes it up at once).
--
-- wake: 'own' wakes the relays with the COMMIT. 'caller' does so unless the transaction may be prepared, which a NOTIFY would
-- prevent: see inbox.wake in inbox.send. 'nobody': the caller wakes them itself.
-- wait_ms: how long to wait for another transaction that has stored one of these ids and has not ended; then lock_not_available.
create function inbox.send_messages(messages jsonb, wake text, wait_ms integer) returns setof inbox.entries
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
  lock_timeout constant text := current_setting('lock_timeout');
begin
  -- Who may write the table directly has no need to get around these rules.
  if not has_table_privilege(session_user, 'inbox.entries', 'insert') then
    perform inbox.check_message(m ->> 'messageId', m ->> 'commandType', m -> 'payload', m ->> 'correlationId',
      m ->> 'causationId', coalesce(m -> 'metadata', '{}'))
    from jsonb_array_elements(messages) as list (m);
    if exists (select from jsonb_array_elements(messages) as list (m)
               where m ->> 'replyTo' !~ '^inbox_settled_[0-9a-f]{16}$') then
      raise exception using errcode = 'IB002', message = 'inbox.send_messages: replyTo is not a channel of an inbox';
    end if;
    perform inbox.check_sender(m ->> 'messageId', m ->> 'commandType') from jsonb_array_elements(messages) as list (m);
  end if;
  perform set_config('lock_timeout', inbox.shorter_lock_timeout(wait_ms), true);
  return query
    insert into inbox.entries
      (message_id, command_type, payload, correlation_id, causation_id, metadata, fingerprint, reply_to, sent_by,
       status, attempt, claimed_at, relayed_at)
    select m ->> 'messageId', m ->> 'commandType', m -> 'payload', m ->> 'correlationId', m ->> 'causationId',
           coalesce(m -> 'metadata', '{}'), inbox.fingerprint(m ->> 'commandType', m -> 'payload'), m ->> 'replyTo',
           session_user,
           case when claimed then 'Processing' else 'Pending' end::inbox.entry_status, claimed::integer,
           case when claimed then now() end, case when m ->> 'taken' = 'leased' then now() end
    from jsonb_array_elements(messages) with ordinality as list (m, place),
      lateral (select coalesce(m ->> 'taken' = 'claimed', false) as claimed) as first_attempt
    order by place
    on conflict do nothing
    returning *;
  if found and wake <> 'nobody' and pg_notification_queue_usage() < 0.5 and (case current_setting('inbox.wake', true)
    when 'on' then true
    when 'off' then false
    else wake = 'own' or current_setting('max_prepared_transactions') = '0'
  end) then
    perform pg_notify('inbox_pending', '');
  end if;
  perform set_config('lock_timeout', lock_timeout, true);
end
$$;

-- As inbox.send_messages, but a message whose id is held by another transaction is left out: it is not stored, not returned
-- and delays none of the others.
create function inbox.send_unblocked(messages jsonb, wake text, wait_ms integer) returns setof inbox.entries
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
  message jsonb;
begin
  for message in select m from jsonb_array_elements(messages) with ordinality as list (m, place) order by place loop
    begin
      return query select * from inbox.send_messages(jsonb_build_array(message), wake, wait_ms);
    exception
      when lock_not_available or deadlock_detected then
        null;
    end;
  end loop;
end
$$;

-- Of these messages the ones that are there, and whether they were stored with the same type and payload. The entry is only
-- shown to who knows both.
create function inbox.known_messages(messages jsonb, out sent_id text, out same boolean, out entry inbox.entries)
returns setof record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
begin
  perform inbox.check_sender(m ->> 'messageId', m ->> 'commandType') from jsonb_array_elements(messages) as list (m);
  return query
    select e.message_id::text, e.fingerprint = sent.fingerprint, case when e.fingerprint = sent.fingerprint then e::inbox.entries end
    from (select m ->> 'messageId' as id, inbox.fingerprint(m ->> 'commandType', m -> 'payload') as fingerprint
          from jsonb_array_elements(messages) as list (m)) as sent,
      -- One look at the index for each, however many entries the planner believes there are.
      lateral (select * from inbox.entries where entries.message_id = sent.id limit 1) as e;
end
$$;

-- Of these entries the ones that are Completed or DeadLetter. Their ids are only known to who has sent them or may see them.
create function inbox.settled_entries(ids uuid[], out message_id text, out status inbox.entry_status, out result jsonb,
  out error text)
returns setof record
language sql stable security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
  select e.message_id, e.status, e.result, e.error from inbox.entries e
  where e.id = any (ids) and e.status::text in ('Completed', 'DeadLetter')
$$;

-- The entry of a message id, if the login has sent it, is confined to a prefix that the id has, or may read the table. Members
-- of the role that sent it see it too.
create function inbox.entry_of(message_id text) returns setof inbox.entries
language sql stable security definer rows 1
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
  select e.* from inbox.entries e
  where e.message_id = entry_of.message_id
    and (e.sent_by = session_user
      or has_table_privilege(session_user, 'inbox.entries', 'select')
      or exists (select from inbox.sender_limits l
                 where l.login = session_user and l.id_prefix <> '' and starts_with(e.message_id, l.id_prefix)))
$$;

-- As before, and two things more. It waits at most 2 s for another transaction that has sent the same message_id and has not
-- ended; then it raises IB005. And a login sends only what inbox.sender_limits allows.
create or replace function inbox.send(message_id text, command_type text, payload jsonb, correlation_id text default null,
  causation_id text default null, metadata jsonb default '{}') returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
  lock_timeout constant text := current_setting('lock_timeout');
  stored boolean;
begin
  perform inbox.check_message(message_id, command_type, payload, correlation_id, causation_id, metadata);
  perform inbox.check_sender(message_id, command_type);
  begin
    perform set_config('lock_timeout', inbox.shorter_lock_timeout(2000), true);
    insert into inbox.entries (message_id, command_type, payload, correlation_id, causation_id, metadata, fingerprint, sent_by)
    values (send.message_id, send.command_type, send.payload, send.correlation_id, send.causation_id, send.metadata,
      inbox.fingerprint(send.command_type, send.payload), session_user)
    on conflict do nothing;
    stored := found;
  exception
    when lock_not_available then
      raise exception using errcode = 'IB005',
        message = format('inbox.send: message_id %L is held by another transaction that has not ended', send.message_id),
        hint = 'nothing was stored; send it again after that transaction has ended';
  end;
  perform set_config('lock_timeout', lock_timeout, true);
  if stored then
    -- Without payload, and once per transaction however often it is called: a wake-up, not a message.
    if pg_notification_queue_usage() < 0.5 and (case current_setting('inbox.wake', true)
      when 'on' then true
      when 'off' then false
      else current_setting('max_prepared_transactions') = '0'
    end) then
      perform pg_notify('inbox_pending', '');
    end if;
    return 'accepted';
  end if;
  perform from inbox.entries e
  where e.message_id = send.message_id
    and e.fingerprint = inbox.fingerprint(send.command_type, send.payload);
  if not found then
    raise exception using errcode = 'IB001',
      message = format('inbox.send: message_id %L was accepted before with another command type or payload',
        send.message_id),
      hint = 'the first one was left as it was; a new command needs a new message_id';
  end if;
  return 'duplicate';
end
$$;

-- Starts the first attempt of a message that came with its workflow, or its next one, as the claim of an entry that is there
-- does. It waits only wait_ms for another transaction that has stored the id and has not ended; then lock_not_available.
create function inbox.insert_and_claim(message jsonb, wait_ms integer) returns setof inbox.entries
language plpgsql security definer rows 1
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
declare
  lock_timeout constant text := current_setting('lock_timeout');
begin
  perform set_config('lock_timeout', inbox.shorter_lock_timeout(wait_ms), true);
  return query
    insert into inbox.entries as e
      (message_id, command_type, payload, correlation_id, causation_id, metadata, fingerprint, status, attempt, claimed_at)
    values (message ->> 'messageId', message ->> 'commandType', message -> 'payload', message ->> 'correlationId',
      message ->> 'causationId', message -> 'metadata',
      inbox.fingerprint(message ->> 'commandType', message -> 'payload'), 'Processing', 1, now())
    on conflict (message_id) do update
    set status = 'Processing', attempt = e.attempt + 1, claimed_at = now(), next_retry_at = null
    where (e.status = 'Pending' or e.status = 'Failed' and e.next_retry_at <= now())
      and e.fingerprint = excluded.fingerprint
    returning *;
  perform set_config('lock_timeout', lock_timeout, true);
end
$$;

-- What only one worker does at a time, until its transaction ends. A row that only this function locks, so that nobody else
-- can take the turn.
create table inbox.turns (
  name text primary key
);
insert into inbox.turns values ('alerts');

create function inbox.try_turn(name text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $$
begin
  perform from inbox.turns t where t.name = try_turn.name for update skip locked;
  return found;
end
$$;

-- The grants on all of it are in the next migration. Functions are everybody's unless told otherwise.
revoke execute on function inbox.check_sender, inbox.shorter_lock_timeout, inbox.send_messages, inbox.send_unblocked,
  inbox.known_messages, inbox.settled_entries, inbox.entry_of, inbox.insert_and_claim, inbox.try_turn from public;
