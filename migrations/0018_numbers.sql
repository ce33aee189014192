-- breaking: false
-- Every way in accepts the same numbers, and a send never fails because of a wake-up.

-- Finds a number in a message that a double does not hold exactly, and says where it is; null if there is none. A number is
-- accepted if its double, written with the fewest digits, is the same number: then JavaScript reads it from the
-- row without changing it. It is a function of its own because it pins extra_float_digits, which costs every call a little.
create function inbox.find_inexact_number(payload jsonb, metadata jsonb) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
as $$
declare
  inexact text;
  place text;
begin
  select digits into inexact
  from jsonb_path_query(jsonb_build_array(payload, metadata), 'strict $.** ? (@.type() == "number")') as found (value),
    lateral (select value #>> '{}' as digits offset 0) as read
  where case
    when length(digits) < 16 then false
    -- Most numbers are settled by comparing texts. The guard keeps out what the cast to float8 would raise an error for.
    when length(digits) < 40 and digits::float8::text = digits then abs(digits::float8) > 9007199254740991
    when abs(digits::numeric) > 9007199254740991 then true
    when digits::numeric = 0 then false
    when abs(digits::numeric) < 3e-324 then true
    else digits::float8::text::numeric <> digits::numeric
  end
  limit 1;
  if not found then
    return null;
  end if;
  -- Only for a message that will be refused: to find the place costs many times what the check costs.
  with recursive parts (path, value) as (
    values ('payload', payload), ('metadata', metadata)
    union all
    select left(parts.path || inside.step, 300), inside.value
    from parts, lateral (
      select '.' || key as step, members.value
      from jsonb_each(case jsonb_typeof(parts.value) when 'object' then parts.value else '{}' end) as members
      union all
      select '[' || position - 1 || ']', items.value
      from jsonb_array_elements(case jsonb_typeof(parts.value) when 'array' then parts.value else '[]' end)
        with ordinality as items (value, position)) as inside)
  select path into place from parts where jsonb_typeof(value) = 'number' and value #>> '{}' = inexact limit 1;
  if abs(inexact::numeric) > 9007199254740991 then
    return place || ' is a number beyond 2^53, where digits are lost; send it as a string';
  end if;
  return format('%s is %s, which a double does not hold exactly; send it as a string', place,
    case when length(inexact) > 60 then left(inexact, 60) || '…' else inexact end);
end
$$;

-- The rules of the TypeScript border, in the same words where that is possible. Sizes are those of the jsonb's text.
create or replace function inbox.check_message(message_id text, command_type text, payload jsonb, correlation_id text,
  causation_id text, metadata jsonb) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  control constant text := '[\u0001-\u001f\u007f-\u009f]';
  -- jsonb's text never has an exponent. A number of up to 15 digits is exact as a double, so a text without a run of 16
  -- digits and points needs no look at its numbers. 201 levels take 402 brackets.
  long_number constant text := '[0-9.]{16}';
  payload_text constant text := payload::text;
  metadata_text constant text := metadata::text;
  problem text;
begin
  problem := case
    when message_id is null then 'message_id is missing'
    -- As JavaScript's trim() sees it; [[:space:]] depends on the collation.
    when message_id !~ '[^ \t\n\v\f\r\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]'
      then 'message_id is empty or blank'
    when message_id ~ control then 'message_id has a control character'
    when octet_length(message_id) > 200 then 'message_id is longer than 200 bytes'
    when command_type is null then 'command_type is missing'
    when command_type = '' then 'command_type is empty'
    when length(command_type) > 200 then 'command_type is longer than 200 characters'
    when command_type ~ control then 'command_type has a control character'
    when payload is null then 'payload is missing'
    when octet_length(payload_text) > 1048576
      then format('payload is %s bytes as Postgres stores it; the limit is 1048576', octet_length(payload_text))
    when correlation_id = '' then 'correlation_id is empty'
    when length(correlation_id) > 255 then 'correlation_id is longer than 255 characters'
    when correlation_id ~ control then 'correlation_id has a control character'
    when causation_id = '' then 'causation_id is empty'
    when length(causation_id) > 255 then 'causation_id is longer than 255 characters'
    when causation_id ~ control then 'causation_id has a control character'
    when metadata is null or jsonb_typeof(metadata) <> 'object' then 'metadata is not an object'
    when octet_length(metadata_text) > 65536
      then format('metadata is %s bytes as Postgres stores it; the limit is 65536', octet_length(metadata_text))
    -- Level 0 is the value itself, and one more here for the array around the two.
    when octet_length(payload_text) + octet_length(metadata_text) >= 402
      and jsonb_path_exists(jsonb_build_array(payload, metadata),
        'strict $.**{201} ? (@.type() == "array" || @.type() == "object")')
      then 'payload or metadata is nested deeper than 200 levels'
    when payload_text ~ long_number or metadata_text ~ long_number
      then inbox.find_inexact_number(payload, metadata)
  end;
  if problem is not null then
    raise exception using errcode = 'IB002', message = 'inbox.send: ' || problem,
      hint = 'nothing was stored; correct the message and send it again';
  end if;
end
$$;

-- As before, except that the wake-up is left out where it could make the transaction fail. A transaction with a NOTIFY
-- cannot be prepared, so on a server that allows prepared transactions it is only sent with inbox.wake = 'on'. A COMMIT
-- fails when the NOTIFY queue is full, so none is added to a queue that is half full. A relay that is not woken finds the
-- entry by its sweep, within a second.
create or replace function inbox.send(message_id text, command_type text, payload jsonb, correlation_id text default null,
  causation_id text default null, metadata jsonb default '{}') returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform inbox.check_message(message_id, command_type, payload, correlation_id, causation_id, metadata);
  insert into inbox.entries (message_id, command_type, payload, correlation_id, causation_id, metadata, fingerprint)
  values (send.message_id, send.command_type, send.payload, send.correlation_id, send.causation_id, send.metadata,
    inbox.fingerprint(send.command_type, send.payload))
  on conflict do nothing;
  if found then
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

revoke execute on function inbox.find_inexact_number(jsonb, jsonb) from public;
