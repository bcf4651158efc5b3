#!/usr/bin/env bash
# PostgreSQL's archive_command: keeps a finished WAL segment until scripts/backup.sh fetches it.
#
#   archive-wal.sh PATH NAME
#
# Told twice about the same segment, it agrees; told about another under the same name, it refuses.
# Each cluster has a directory of its own: a new one counts its segments from one again.
set -euo pipefail

path=$1
cluster=$(LC_ALL=C pg_controldata "$PGDATA" | sed -n 's/^Database system identifier: *//p')
directory=/var/lib/postgresql/wal/$cluster
kept=$directory/$2.gz

mkdir -p "$directory"
if [[ -e $kept ]]; then
  gzip --decompress --stdout "$kept" | cmp --silent - "$path"
  exit
fi
gzip --fast --stdout "$path" >"$kept.partial"
sync "$kept.partial"
mv "$kept.partial" "$kept"
sync "$directory"
