-- The Postgres image runs this script once, as superuser, when its volume is empty. Temporal and the inbox share a server
-- but not a trust boundary, so each has its own role and cannot read the other's data.
--
-- \getenv keeps the passwords off any command line, unlike a shell script. If a password is missing, its variable stays
-- unset, the statement is a syntax error, and the image does not start.
\getenv temporal_password TEMPORAL_DB_PASSWORD
\getenv inbox_password INBOX_DB_PASSWORD

create role temporal login password :'temporal_password';
-- The inbox needs createrole because its migrations create its roles (sender, worker, operator, reader). Since Postgres 16,
-- createrole allows a role to manage only the roles that it created itself.
create role inbox login createrole password :'inbox_password';

create database temporal owner temporal;
create database temporal_visibility owner temporal;
create database inbox owner inbox;

revoke connect on database postgres, temporal, temporal_visibility, inbox from public;
