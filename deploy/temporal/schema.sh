#!/bin/sh
# Brings Temporal's two databases to the schema of this admin-tools image. Safe to run again: a schema that is already
# there keeps its version, and only newer steps are applied. The databases themselves are made by
# deploy/postgres/databases.sql, since the role used here may not create any.
#
# Connection: SQL_PLUGIN, SQL_HOST, SQL_PORT, SQL_USER, SQL_PASSWORD, as temporal-sql-tool reads them.
set -eu

apply() {
  temporal-sql-tool --database "$1" setup-schema --version 0.0
  temporal-sql-tool --database "$1" update-schema --schema-name "postgresql/v12/$2"
}

apply temporal temporal
apply temporal_visibility visibility
