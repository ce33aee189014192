-- breaking: false
-- One worker at a time reports the metrics that need a look at the tables.

-- At most one row. It is renewed with each report, and `until` is by the database's clock. A worker that stops sets `until` to
-- -infinity.
create table inbox.metrics_lease (
  one    boolean primary key default true check (one),
  holder uuid not null,
  -- For people: the worker's identity, as in inbox.workers.
  name   text not null,
  until  timestamptz not null
);

-- The decisions of migration 0025, and those about this migration's table.
alter function inbox.grant_roles() rename to grant_roles_0025;
create function inbox.grant_roles() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform inbox.grant_roles_0025();
  if exists (select from pg_roles where rolname = 'inbox_worker') then
    grant select, insert, update (holder, name, until) on inbox.metrics_lease to inbox_worker;
  end if;
  if exists (select from pg_roles where rolname = 'inbox_operator') then
    grant select on inbox.metrics_lease to inbox_operator;
  end if;
  if exists (select from pg_roles where rolname = 'inbox_reader') then
    grant select on inbox.metrics_lease to inbox_reader;
  end if;
end
$$;

select inbox.grant_roles();
