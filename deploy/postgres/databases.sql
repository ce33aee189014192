-- Run once by the Postgres image, as superuser, when its volume is empty. One role for each owner, so that neither can
-- read the other's data: Temporal's histories and the inbox share a server here, not a trust boundary.
--
-- \getenv instead of a shell script: the passwords never stand on a command line. A missing one leaves its variable
-- unset, the statement is then a syntax error, and the image refuses to start.
\getenv temporal_password TEMPORAL_DB_PASSWORD
\getenv inbox_password INBOX_DB_PASSWORD

create role temporal login password :'temporal_password';
-- createrole: the inbox's migrations make its roles (sender, worker, operator, reader). Since Postgres 16 this gives
-- power over the roles it made itself and no others.
create role inbox login createrole password :'inbox_password';

create database temporal owner temporal;
create database temporal_visibility owner temporal;
create database inbox owner inbox;

revoke connect on database postgres, temporal, temporal_visibility, inbox from public;
