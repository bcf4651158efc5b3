#!/usr/bin/env bash
# First start of the database: the roles, the application's password, and no password for the
# superuser, who can then be reached through the container's own socket alone.
set -euo pipefail

psql -v ON_ERROR_STOP=1 --dbname "$POSTGRES_DB" --file /etc/eatfit24/roles.sql
psql -v ON_ERROR_STOP=1 --dbname "$POSTGRES_DB" <<'SQL'
\getenv password POSTGRES_PASSWORD
\getenv superuser POSTGRES_USER
ALTER ROLE eatfit24_a PASSWORD :'password';
ALTER ROLE :"superuser" PASSWORD NULL;
SQL
