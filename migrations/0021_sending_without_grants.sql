-- breaking: false
-- Sending through functions only: a sender needs no right on any table, and waits only a short time for somebody else's
-- transaction.

-- The login that sent the entry through Postgres. Null for commands that a Temporal client started, and for older entries.
alter table inbox.entries add column sent_by text;

-- Limits what a login may send. A login that has no row here may send everything. The owner of the schema adds the rows:
--   insert into inbox.sender_limits (login, id_prefix, command_types) values ('orders', 'order-', '{PlaceOrder,CancelOrder}');
create table inbox.sender_limits (
  -- As in session_user: SET ROLE does not change what a login may send.
  login         text primary key,
  -- Its message ids must begin with this text. Empty: any id.
  id_prefix     text not null default '',
  -- The command types that it may send. Null: all.
  command_types text[] check (array_position(command_types, null) is null)
);

-- Says what is wrong with a message; null if nothing is. These are the rules that the TypeScript code checks, in the same words
-- where possible. payload_text and metadata_text are the two values as text, because their sizes are limited; pass null as
-- metadata_text if metadata is not an object.
-- Like the other functions here whose body begins with `return`, it is parsed once, when it is created, so no search_path changes
-- what it means; and Postgres makes it a part of the statement that calls it. A function with its own search_path setting would
-- cost each message about 10 µs.
create function inbox.message_problem(message_id text, command_type text, payload jsonb, payload_text text,
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

-- The fingerprint of a message whose payload has this text: as inbox.fingerprint, for statements that have the text already.
create function inbox.fingerprint_of(command_type text, payload_text text) returns bytea
language sql stable
return sha256(convert_to(
  length(command_type) || ':' || command_type || regexp_replace(payload_text,
    '("(?:[^"\\]|\\.)*")|(\.[0-9]*[1-9])0+(?![0-9])|\.0+(?![0-9])', '\1\2', 'g'),
  'UTF8'));

-- inbox.send called it before.
drop function inbox.check_message(text, text, jsonb, text, text, jsonb);

-- Whether a row of inbox.sender_limits allows the message. Without a row, all columns are null and everything is allowed.
create function inbox.is_allowed(id_prefix text, command_types text[], message_id text, command_type text) returns boolean
language sql immutable
return id_prefix is null
  or starts_with(message_id, id_prefix) and (command_types is null or command_type = any (command_types));

-- Whether a session with this lock_timeout would wait longer than so many ms; '0' is without a limit.
create function inbox.waits_longer(lock_timeout text, wait_ms integer) returns boolean
language sql stable
return lock_timeout = '0' or lock_timeout::interval > make_interval(secs => wait_ms / 1000.0);

-- Whether to wake the relays in this transaction. It must not fail because of that: a NOTIFY makes COMMIT fail while the queue is
-- full, and PREPARE TRANSACTION always. `own`: the transaction is the inbox's, which prepares none. inbox.wake decides if it is set.
create function inbox.may_notify(own boolean) returns boolean
language sql volatile
return pg_notification_queue_usage() < 0.5 and case current_setting('inbox.wake', true)
  when 'on' then true
  when 'off' then false
  else own or current_setting('max_prepared_transactions') = '0'
end;

-- Refuses a message: for what is wrong with it, or because the login may not send it. Never returns.
create function inbox.refuse_message(message_id text, command_type text, problem text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  allowed inbox.sender_limits;
begin
  if problem is not null then
    raise exception using errcode = 'IB002', message = 'inbox.send: ' || problem,
      hint = 'nothing was stored; correct the message and send it again';
  end if;
  select * into allowed from inbox.sender_limits where login = session_user;
  raise exception using errcode = 'insufficient_privilege',
    message = case when starts_with(message_id, allowed.id_prefix)
      then format('the login %I may not send commands of type %L (message_id %L)', session_user, command_type, message_id)
      else format('the login %I may only send message ids that begin with %L, and not %L', session_user,
        allowed.id_prefix, message_id) end,
    hint = 'nothing was stored; the owner of the schema decides in inbox.sender_limits';
end
$$;

-- Stores the messages that are not there yet and returns their entries. Each message is an object with messageId, commandType,
-- payload, correlationId, causationId, metadata, replyTo (a channel that is notified when the command is settled) and taken
-- ('claimed' or 'leased' where the sending process takes it up at once).
--
-- wake: 'own' or 'caller' says whose transaction it is, and the relays are woken as inbox.may_notify decides. 'nobody': the caller
-- wakes them itself, and this is the only statement of its transaction.
-- wait_ms: how long to wait for another transaction that has stored one of these ids and has not ended; then lock_not_available.
create function inbox.send_messages(messages jsonb, wake text, wait_ms integer) returns setof inbox.entries
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  lock_timeout constant text := current_setting('lock_timeout');
begin
  if inbox.waits_longer(lock_timeout, wait_ms) then
    perform set_config('lock_timeout', wait_ms || 'ms', true);
  end if;
  return query
    insert into inbox.entries
      (message_id, command_type, payload, correlation_id, causation_id, metadata, fingerprint, reply_to, sent_by,
       status, attempt, claimed_at, relayed_at)
    select given.id, given.type, given.payload, given.correlation, given.causation, given.metadata,
           inbox.fingerprint_of(given.type, given.payload_text), given.reply, session_user,
           case when given.taken = 'claimed' then 'Processing' else 'Pending' end::inbox.entry_status,
           case when given.taken = 'claimed' then 1 else 0 end, case when given.taken = 'claimed' then now() end,
           case when given.taken = 'leased' then now() end
    from (select place, m ->> 'messageId' as id, m ->> 'commandType' as type, m -> 'payload' as payload,
                 (m -> 'payload')::text as payload_text, m ->> 'correlationId' as correlation,
                 m ->> 'causationId' as causation, m ->> 'replyTo' as reply, m ->> 'taken' as taken,
                 case coalesce(jsonb_typeof(m -> 'metadata'), 'null')
                   when 'object' then m -> 'metadata' when 'null' then '{}' end as metadata
          from jsonb_array_elements(messages) with ordinality as list (m, place) offset 0) as given
    left join inbox.sender_limits l on l.login = session_user,
    lateral (select case when given.reply !~ '^inbox_settled_[0-9a-f]{16}$' then 'replyTo is not a channel of an inbox'
               else inbox.message_problem(given.id, given.type, given.payload, given.payload_text, given.correlation,
                 given.causation, given.metadata, given.metadata::text) end as problem offset 0) as found
    where case
      when found.problem is null and inbox.is_allowed(l.id_prefix, l.command_types, given.id, given.type) then true
      else inbox.refuse_message(given.id, given.type, found.problem) end
    order by given.place
    on conflict do nothing
    returning *;
  -- Otherwise the statement is the caller's whole transaction, and the setting ends with it.
  if wake <> 'nobody' then
    if found and inbox.may_notify(wake = 'own') then
      perform pg_notify('inbox_pending', '');
    end if;
    perform set_config('lock_timeout', lock_timeout, true);
  end if;
end
$$;

-- Like inbox.send_messages with 'nobody', but a message whose id another transaction holds is left out: it is neither stored nor
-- returned, and delays none of the others.
create function inbox.send_unblocked(messages jsonb, wait_ms integer) returns setof inbox.entries
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  message jsonb;
begin
  for message in select m from jsonb_array_elements(messages) with ordinality as list (m, place) order by place loop
    begin
      return query select * from inbox.send_messages(jsonb_build_array(message), 'nobody', wait_ms);
    exception
      when lock_not_available or deadlock_detected then
        null;
    end;
  end loop;
end
$$;

-- Whether the login may see everything in the entry: it sent the entry, its message ids are limited to a prefix that this id has,
-- or it may read the table.
create function inbox.is_own(sent_by text, message_id text) returns boolean
language sql stable
return sent_by = session_user
  or has_table_privilege(session_user, 'inbox.entries', 'select')
  or exists (select from inbox.sender_limits l
             where l.login = session_user and l.id_prefix <> '' and starts_with(message_id, l.id_prefix));

-- Returns those of the messages that are stored already, and whether they have the same type and payload. Only if they have does it
-- return the entry, with its status and result. Correlation, causation and metadata are returned only to who sent the entry.
create function inbox.known_messages(messages jsonb, out sent_id text, out same boolean,
  out id uuid, out message_id text, out command_type text, out payload jsonb, out status inbox.entry_status,
  out received_at timestamptz, out processed_at timestamptz, out retry_count integer, out next_retry_at timestamptz,
  out error text, out correlation_id text, out causation_id text, out metadata jsonb, out attempt integer,
  out generation integer, out result jsonb, out pruned_at timestamptz)
returns setof record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  return query
    select sent.sent_id, sent.same, found.id, found.message_id::text, found.command_type, found.payload, found.status,
           found.received_at, found.processed_at, found.retry_count, found.next_retry_at, found.error,
           case when found.own then found.correlation_id end, case when found.own then found.causation_id end,
           case when found.own then found.metadata else '{}' end, found.attempt, found.generation, found.result,
           found.pruned_at
    -- Refused before anything is looked for.
    from (select given.sent_id, e.id, e.fingerprint = given.fingerprint as same
          from (select m ->> 'messageId' as sent_id,
                       inbox.fingerprint_of(m ->> 'commandType', (m -> 'payload')::text) as fingerprint
                from jsonb_array_elements(messages) as list (m)
                left join inbox.sender_limits l on l.login = session_user
                where case
                  when inbox.is_allowed(l.id_prefix, l.command_types, m ->> 'messageId', m ->> 'commandType') then true
                  else inbox.refuse_message(m ->> 'messageId', m ->> 'commandType', null) end
                offset 0) as given,
            -- One look at the index for each, however many entries the planner believes there are.
            lateral (select id, fingerprint from inbox.entries where entries.message_id = given.sent_id limit 1) as e
          offset 0) as sent
    left join lateral (
      select e.*, inbox.is_own(e.sent_by, e.message_id) as own from inbox.entries e where e.id = sent.id limit 1) as found
      on sent.same;
end
$$;

-- Returns those of the entries that are Completed or DeadLetter. A caller knows an entry's id if it sent the entry or may see it.
create function inbox.settled_entries(ids uuid[], out message_id text, out status inbox.entry_status, out result jsonb,
  out error text)
returns setof record
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select e.message_id, e.status, e.result, e.error from inbox.entries e
  where e.id = any (ids) and e.status::text in ('Completed', 'DeadLetter')
$$;

-- The entry of a message id, if it is the login's own.
create function inbox.entry_of(wanted_id text,
  out id uuid, out message_id text, out command_type text, out payload jsonb, out status inbox.entry_status,
  out received_at timestamptz, out processed_at timestamptz, out retry_count integer, out next_retry_at timestamptz,
  out error text, out correlation_id text, out causation_id text, out metadata jsonb, out attempt integer,
  out generation integer, out result jsonb, out pruned_at timestamptz)
returns setof record
language sql stable security definer rows 1
set search_path = pg_catalog, pg_temp
as $$
  select e.id, e.message_id, e.command_type, e.payload, e.status, e.received_at, e.processed_at, e.retry_count,
         e.next_retry_at, e.error, e.correlation_id, e.causation_id, e.metadata, e.attempt, e.generation, e.result,
         e.pruned_at
  from inbox.entries e
  where e.message_id = wanted_id and inbox.is_own(e.sent_by, e.message_id)
$$;

-- New: it waits at most 2 s for another transaction that has sent the same message_id and has not ended, and then raises IB005;
-- and it refuses what inbox.sender_limits does not allow the login to send.
create or replace function inbox.send(message_id text, command_type text, payload jsonb, correlation_id text default null,
  causation_id text default null, metadata jsonb default '{}') returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  lock_timeout constant text := current_setting('lock_timeout');
  payload_text constant text := payload::text;
  problem constant text := inbox.message_problem(message_id, command_type, payload, payload_text, correlation_id,
    causation_id, metadata, case when jsonb_typeof(metadata) = 'object' then metadata::text end);
  sent_fingerprint bytea;
  stored boolean;
begin
  if problem is not null or exists (
    select from inbox.sender_limits l
    where l.login = session_user
      and inbox.is_allowed(l.id_prefix, l.command_types, send.message_id, send.command_type) is not true)
  then
    perform inbox.refuse_message(message_id, command_type, problem);
  end if;
  sent_fingerprint := inbox.fingerprint_of(command_type, payload_text);
  begin
    if inbox.waits_longer(lock_timeout, 2000) then
      perform set_config('lock_timeout', '2s', true);
    end if;
    insert into inbox.entries (message_id, command_type, payload, correlation_id, causation_id, metadata, fingerprint, sent_by)
    values (send.message_id, send.command_type, send.payload, send.correlation_id, send.causation_id, send.metadata,
      sent_fingerprint, session_user)
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
    if inbox.may_notify(false) then
      perform pg_notify('inbox_pending', '');
    end if;
    return 'accepted';
  end if;
  perform from inbox.entries e where e.message_id = send.message_id and e.fingerprint = sent_fingerprint;
  if not found then
    raise exception using errcode = 'IB001',
      message = format('inbox.send: message_id %L was accepted before with another command type or payload',
        send.message_id),
      hint = 'the first one was left as it was; a new command needs a new message_id';
  end if;
  return 'duplicate';
end
$$;

-- Claims the next attempt of a message that a Temporal client started, and stores its entry first if there is none. It waits at
-- most wait_ms for another transaction that has stored the id and has not ended; then it raises lock_not_available.
create function inbox.insert_and_claim(message jsonb, wait_ms integer) returns setof inbox.entries
language plpgsql security definer rows 1
set search_path = pg_catalog, pg_temp
as $$
declare
  lock_timeout constant text := current_setting('lock_timeout');
  problem constant text := inbox.message_problem(message ->> 'messageId', message ->> 'commandType', message -> 'payload',
    (message -> 'payload')::text, message ->> 'correlationId', message ->> 'causationId', message -> 'metadata',
    case when jsonb_typeof(message -> 'metadata') = 'object' then (message -> 'metadata')::text end);
begin
  if problem is not null then
    perform inbox.refuse_message(message ->> 'messageId', message ->> 'commandType', problem);
  end if;
  if inbox.waits_longer(lock_timeout, wait_ms) then
    perform set_config('lock_timeout', wait_ms || 'ms', true);
  end if;
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

-- Work that only one worker does at a time. A worker takes the turn by locking the row until its transaction ends. Only
-- inbox.try_turn can lock it, so no other login can keep the workers from their turn.
create table inbox.turns (
  name text primary key
);
insert into inbox.turns values ('alerts');

create function inbox.try_turn(name text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform from inbox.turns t where t.name = try_turn.name for update skip locked;
  return found;
end
$$;

-- The grants on all of it are in the next migration. Functions are everybody's unless told otherwise.
revoke execute on function inbox.message_problem, inbox.fingerprint_of, inbox.is_allowed, inbox.waits_longer, inbox.may_notify,
  inbox.refuse_message, inbox.send_messages, inbox.send_unblocked, inbox.is_own, inbox.known_messages, inbox.settled_entries,
  inbox.entry_of, inbox.insert_and_claim, inbox.try_turn from public;
