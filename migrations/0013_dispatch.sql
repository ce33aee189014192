-- Finding work when dead index entries cannot be cleaned up, because some session holds a snapshot open.
--
-- The indexes of open entries begin with the command type, so that a worker reads only the types it knows, and each scan
-- starts at a time below which everything was taken before. The predicates are those of the indexes they replace, so that
-- workers of earlier releases keep using them. A statement that addresses one row by its key must never use one of them:
-- it compares `status::text`, which none of these predicates can be derived from.

create index entries_pending_by_type on inbox.entries (command_type, received_at) where status = 'Pending';
create index entries_processing_by_type on inbox.entries (command_type, claimed_at) where status = 'Processing';
create index entries_failed_by_type on inbox.entries (command_type, next_retry_at) where status = 'Failed';
-- Express commands whose first attempt failed and that need a workflow now; and Completed ones that need one as a record.
create index entries_handed_over on inbox.entries (command_type, coalesce(relayed_at, '-infinity'))
  where needs_workflow and status <> 'Completed';
create index entries_unrecorded on inbox.entries (command_type, processed_at)
  where needs_workflow and status = 'Completed';

drop index inbox.entries_pending;
drop index inbox.entries_processing;
drop index inbox.entries_failed;
drop index inbox.entries_needing_workflow;
