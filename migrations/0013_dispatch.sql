-- breaking: false
-- Finding work when dead index entries cannot be cleaned up, because some session holds a snapshot open.
--
-- The indexes of open entries begin with the command type, so that a worker reads only the types it knows, and each scan
-- starts at a time below which everything was taken before. The predicates are those of the indexes they replace, so that
-- workers of earlier releases keep using them. A statement that addresses one row by its key must never use one of them:
-- it compares `status::text`, which none of these predicates can be derived from.
--
-- Building an index blocks writes to the table while it reads it once: some seconds for a million rows. For a large table,
-- create the five indexes before, with the same names and `create index concurrently`; they are not created again then.

create index if not exists entries_pending_by_type on inbox.entries (command_type, received_at) where status = 'Pending';
create index if not exists entries_processing_by_type on inbox.entries (command_type, claimed_at) where status = 'Processing';
create index if not exists entries_failed_by_type on inbox.entries (command_type, next_retry_at) where status = 'Failed';
-- Express commands whose first attempt failed and that need a workflow now; and Completed ones that need one as a record.
create index if not exists entries_handed_over on inbox.entries (command_type, coalesce(relayed_at, '-infinity'))
  where needs_workflow and status <> 'Completed';
create index if not exists entries_unrecorded on inbox.entries (command_type, processed_at)
  where needs_workflow and status = 'Completed';

drop index inbox.entries_pending;
drop index inbox.entries_processing;
drop index inbox.entries_failed;
drop index inbox.entries_needing_workflow;
