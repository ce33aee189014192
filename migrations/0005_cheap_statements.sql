-- What the worker sends with every command, made cheap.

-- The rules of a row in one trigger. As CHECK constraints they cost five times the rest of the statement: Postgres reads
-- each constraint's expression from the catalogue anew for every statement that writes, 45 µs for these. The names stay.

create function inbox.check_entry() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
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
  if broken is not null then
    raise exception using errcode = 'check_violation', schema = 'inbox', table = 'entries', constraint = broken,
      message = format('the entry of message_id %L breaks the rule %s', new.message_id, broken);
  end if;
  return new;
end
$$;

create trigger entry_is_sound before insert or update on inbox.entries
  for each row execute function inbox.check_entry();

alter table inbox.entries
  drop constraint message_id_is_usable,
  drop constraint command_type_is_usable,
  drop constraint metadata_is_object,
  drop constraint error_is_short,
  drop constraint counters_agree,
  drop constraint failed_has_next_retry,
  drop constraint completed_has_time,
  drop constraint only_completed_has_result,
  drop constraint failure_has_error,
  drop constraint completed_has_no_error,
  drop constraint attempt_was_claimed,
  drop constraint processing_was_claimed,
  drop constraint new_was_never_tried,
  drop constraint only_pruned_has_no_payload,
  drop constraint pruned_is_over_and_empty;

-- Says IB003 where an attempt's last statement finds that its transaction is not the one that locked the row: an error, so
-- that the COMMIT which is on its way behind that statement commits nothing.
create function inbox.transaction_ended() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = 'IB003', message = 'the transaction that locked the entry is over',
    hint = 'a handler must not send COMMIT or ROLLBACK';
end
$$;
