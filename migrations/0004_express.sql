-- Express commands: their first attempt runs without a workflow. One that failed or died there is to get one.

alter table inbox.entries
  -- Set with the failure of a first attempt that had no workflow, taken away once the workflow is started. Until then
  -- `relayed_at` is the lease of whoever starts it.
  add column needs_workflow boolean not null default false;

create index entries_needing_workflow on inbox.entries (relayed_at) where needs_workflow;
