#!/bin/sh
# Updates Temporal's two databases to the schema version of this admin-tools image. The script can safely run again: an
# existing schema keeps its version, and only newer steps are applied. deploy/postgres/databases.sql creates the
# databases, because the role used here is not allowed to.
#
# temporal-sql-tool reads the connection from SQL_PLUGIN, SQL_HOST, SQL_PORT, SQL_USER and SQL_PASSWORD.
set -eu

apply() {
  temporal-sql-tool --database "$1" setup-schema --version 0.0
  temporal-sql-tool --database "$1" update-schema --schema-name "postgresql/v12/$2"
}

apply temporal temporal
apply temporal_visibility visibility
