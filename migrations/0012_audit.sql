-- What stands in the audit stays there: rows are only ever added. The grants keep the roles from changing it; this keeps the
-- owner from doing it by mistake. Who owns the table can still take the trigger away, which no trigger can prevent: where
-- that must not pass unseen, copy the audit to where the owner cannot write.

create function inbox.refuse_audit_change() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = 'restrict_violation', schema = 'inbox', table = 'audit',
    message = format('inbox.audit is only ever added to: %s is refused', tg_op),
    hint = 'nothing was changed; to correct what a line says, add one';
end
$$;

create trigger audit_is_only_added_to before update or delete or truncate on inbox.audit
  for each statement execute function inbox.refuse_audit_change();

select inbox.grant_roles();
