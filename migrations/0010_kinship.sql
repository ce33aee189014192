-- What a command caused, and what belongs to the same flow: for whoever asks at night, without reading all entries. Partial, so
-- that commands which nobody caused and which belong to no flow pay nothing.
create index entries_caused_by on inbox.entries (causation_id) where causation_id is not null;
create index entries_of_flow on inbox.entries (correlation_id) where correlation_id is not null;
