-- Way in (A): a row in the sender's own transaction, and what the relay and the waiting sender need.

alter table inbox.entries
  -- When a relay or the reconciler last took the entry up to start its workflow; a lease, not a promise.
  add column relayed_at timestamptz,
  -- Channel to NOTIFY when the entry is settled; set only where a sender waits for the result.
  add column reply_to text;

-- Errors that a sender's program can tell apart: IB001 conflict, IB002 input that cannot be an entry.
-- The checks are those of the TypeScript border. A payload's size is that of its jsonb text.
create function inbox.check_message(message_id text, command_type text, payload jsonb, correlation_id text,
  causation_id text, metadata jsonb) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  control constant text := '[\u0001-\u001f\u007f-\u009f]';
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
    when octet_length(payload::text) > 1048576 then 'payload has more than 1048576 bytes'
    when correlation_id = '' then 'correlation_id is empty'
    when length(correlation_id) > 255 then 'correlation_id is longer than 255 characters'
    when correlation_id ~ control then 'correlation_id has a control character'
    when causation_id = '' then 'causation_id is empty'
    when length(causation_id) > 255 then 'causation_id is longer than 255 characters'
    when causation_id ~ control then 'causation_id has a control character'
    when metadata is null or jsonb_typeof(metadata) <> 'object' then 'metadata is no object'
    when octet_length(metadata::text) > 65536 then 'metadata has more than 65536 bytes'
    -- What no double holds exactly would be another number in the handler.
    when jsonb_path_exists(jsonb_build_array(payload, metadata),
      'strict $.** ? (@.type() == "number" && (@ > 9007199254740991 || @ < -9007199254740991))')
      then 'payload or metadata has an integer beyond 2^53; send it as a string'
    -- Level 0 is the value itself, and one more here for the array around the two.
    when jsonb_path_exists(jsonb_build_array(payload, metadata),
      'strict $.**{201} ? (@.type() == "array" || @.type() == "object")')
      then 'payload or metadata is nested deeper than 200 levels'
  end;
  if problem is not null then
    raise exception using errcode = 'IB002', message = 'inbox.send: ' || problem,
      hint = 'nothing was stored; mend the input and send it again';
  end if;
end
$$;

-- The way in for every language: call it in the transaction that must stand or fall with the command.
-- Runs as its owner, so a role that may only execute it can send, and can do nothing else.
create function inbox.send(message_id text, command_type text, payload jsonb, correlation_id text default null,
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
    -- Without payload, and once a transaction however often it is called: a wake-up, not a message.
    perform pg_notify('inbox_pending', '');
    return 'accepted';
  end if;
  perform from inbox.entries e
  where e.message_id = send.message_id
    and e.fingerprint = inbox.fingerprint(send.command_type, send.payload);
  if not found then
    raise exception using errcode = 'IB001',
      message = format('inbox.send: message_id %L was accepted before with another command type or payload',
        send.message_id),
      hint = 'the first one stands; a new command needs a new message_id';
  end if;
  return 'duplicate';
end
$$;

-- Functions are everybody's unless told otherwise; senders are granted this one.
revoke execute on function inbox.send(text, text, jsonb, text, text, jsonb) from public;
