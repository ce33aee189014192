-- breaking: false
-- Which inbox this is. Workflows carry the id in their memo and workers in their Temporal identity, so that two inboxes which
-- share a namespace and a task queue by mistake are noticed, and a worker leaves the other inbox's commands alone.
-- A copy of a database (a dump restored for staging) is another inbox and needs an id of its own:
--   update inbox.identity set id = gen_random_uuid();
create table inbox.identity (
  id         uuid not null default gen_random_uuid(),
  created_at timestamptz not null default now(),
  only_row   boolean primary key default true check (only_row)
);
insert into inbox.identity default values;
