# What a backup is, and how it becomes a database again. Sourced after lib/operator.sh.
# shellcheck shell=bash disable=SC2034 # read by those who source this file
#
# BACKUP_DIR/2026-01-31T01-30-00Z/   one backup, complete from the moment it has this name
#   about          when, of which release, of which cluster, first WAL segment, ready at
#   tables         table, rows, checksum of the rows: of the very snapshot that was dumped
#   database.dump  pg_dump's custom format, compressed
#   base.tar.gz    the cluster's files, where WAL is replayed onto; kept for BACKUP_KEEP_DAYS
#   photos.tar.gz  the photos
#   SHA256SUMS     of all of these
# BACKUP_DIR/wal/CLUSTER/SEGMENT.gz  WAL since the oldest base
# Where BACKUP_AGE_RECIPIENT is set, what holds data is encrypted and ends in .age.

umask 077
# shellcheck disable=SC2034 # read by those who source this file
database=$(setting POSTGRES_DB eatfit24)
backups=$(setting BACKUP_DIR backups)
recipient=$(setting BACKUP_AGE_RECIPIENT)
identity=$(setting BACKUP_AGE_IDENTITY)
readonly backups recipient identity

# -- the database ------------------------------------------------------------------------------

in_db() { compose exec -T db "$@"; }

query() { # DATABASE < SQL: rows, columns parted by tabs
  in_db psql -U postgres -X -q -tA -F $'\t' -v ON_ERROR_STOP=1 -d "$1"
}

# Rows as text, hashed and summed: the order does not matter, a changed byte does.
checksum_query() {
  cat <<'SQL'
SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres';
SET bytea_output = 'hex'; SET extra_float_digits = 1; SET search_path = public;
SELECT format(
  'SELECT %L, count(*), coalesce(sum((''x'' || left(md5(t::text), 16))::bit(64)::bigint::numeric), 0) FROM %s t',
  c.oid::regclass, c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY c.oid::regclass::text COLLATE "C" \gexec
SQL
}

create_scratch() { # NAME: an empty database as the first start makes it
  query postgres <<<"CREATE DATABASE \"$1\" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'"
}

drop_scratch() { # NAME
  query postgres <<<"DROP DATABASE IF EXISTS \"$1\" WITH (FORCE)" 2>/dev/null
}

load_dump() { # NAME < DUMP
  in_db pg_restore -U postgres --exit-on-error --dbname "$1"
}

same_tables() { # FILE OF TABLES, NAME OF DATABASE: prints every difference
  local differences
  if differences=$(diff "$1" <(checksum_query | query "$2")); then return; fi
  sed -n 's/^</  in the backup: /p; s/^>/  restored:      /p' <<<"$differences" >&2
  return 1
}

manage() { # NAME OF DATABASE, COMMAND…: manage.py of the release in .env, against that database
  local name=$1
  shift
  compose run --rm --no-deps -T -e POSTGRES_DB="$name" backend python manage.py "$@"
}

# -- files -------------------------------------------------------------------------------------

seal() { # FILE < CONTENT
  if [[ -n $recipient ]]; then
    age --encrypt --recipient "$recipient" --output "$1.age"
  else
    cat >"$1"
  fi
}

unseal() { # FILE: its content, decrypted where it is encrypted
  if [[ -e $1 ]]; then
    cat -- "$1"
  else
    age --decrypt --identity "$identity" "$1.age"
  fi
}

about() { # BACKUP NAME: one line of its `about`
  sed -n "s/^$2=//p" "$1/about"
}

list_backups() { # complete ones, the oldest first
  [[ -d $backups ]] || return 0
  find "$backups" -mindepth 1 -maxdepth 1 -type d -name '20??-??-??T??-??-??Z' | sort
}

newest_backup() { list_backups | tail -n 1; }

kept_names() { # < NAMES: all of the last 24 hours, then the newest of each of the last days, weeks, months
  local days weeks months names newest recent=''
  names=$(sort -r)
  newest=$(head -n 1 <<<"$names")
  if [[ -n $newest ]]; then
    recent=$(date -u -d "${newest:0:10} ${newest:11:2}:${newest:14:2}:${newest:17:2} UTC - 1 day" +%Y-%m-%dT%H-%M-%SZ)
  fi
  days=$(setting BACKUP_KEEP_DAYS 7) weeks=$(setting BACKUP_KEEP_WEEKS 5) months=$(setting BACKUP_KEEP_MONTHS 12)
  awk -v days="$days" -v weeks="$weeks" -v months="$months" -v recent="$recent" '
    !NF { next }
    { name = $1; day = substr(name, 1, 10); month = substr(name, 1, 7)
      command = "date -u -d " day " +%G-%V"; command | getline week; close(command)
      keep = name > recent
      if (!(day in d) && length(d) < days) { d[day]; keep = 1 }
      if (!(week in w) && length(w) < weeks) { w[week]; keep = 1 }
      if (!(month in m) && length(m) < months) { m[month]; keep = 1 }
      if (keep) print name }' <<<"$names"
}

require_encryption_tools() {
  [[ -z $recipient ]] || need age age "BACKUP_AGE_RECIPIENT asks for encryption"
}

verify_backup() { # BACKUP: complete, unchanged, and readable with our key; one line says what is not
  local backup=$1 file wrong
  [[ -r $backup/SHA256SUMS ]] || fail "$backup: refused: it is no backup: SHA256SUMS is missing"
  if ! wrong=$(cd "$backup" && sha256sum --check --quiet SHA256SUMS 2>/dev/null); then
    wrong=$(sed -n 's/: FAILED.*//p' <<<"$wrong" | paste -sd ' ')
    fail "$backup: refused: truncated, corrupted or missing: ${wrong:-SHA256SUMS itself}"
  fi
  for file in database.dump about tables; do
    [[ -e $backup/$file || -e $backup/$file.age ]] || fail "$backup: refused: $file is missing"
  done
  if [[ -e $backup/database.dump.age ]]; then
    need age age "the backup is encrypted"
    [[ -n $identity ]] || fail "$backup: refused: it is encrypted, and BACKUP_AGE_IDENTITY names no key"
    [[ -r $identity ]] || fail "$backup: refused: the key $identity cannot be read"
    [[ $(unseal "$backup/database.dump" 2>/dev/null | head -c 5) == PGDMP ]] ||
      fail "$backup: refused: $identity is not the key that it was encrypted for"
  fi
}

# -- off-site ----------------------------------------------------------------------------------

offsite_is_configured() { [[ -n $(setting BACKUP_S3_BUCKET) ]]; }

offsite() { # RCLONE ARGUMENTS, with offsite: as the place; secrets go by the environment
  RCLONE_CONFIG=/dev/null \
    RCLONE_CONFIG_BUCKET_TYPE=s3 \
    RCLONE_CONFIG_BUCKET_PROVIDER=Other \
    RCLONE_CONFIG_BUCKET_ENDPOINT=$(setting BACKUP_S3_ENDPOINT) \
    RCLONE_CONFIG_BUCKET_REGION=$(setting BACKUP_S3_REGION us-east-1) \
    RCLONE_CONFIG_BUCKET_ACCESS_KEY_ID=$(setting BACKUP_S3_ACCESS_KEY) \
    RCLONE_CONFIG_BUCKET_SECRET_ACCESS_KEY=$(setting BACKUP_S3_SECRET_KEY) \
    RCLONE_CONFIG_OFFSITE_TYPE=alias \
    RCLONE_CONFIG_OFFSITE_REMOTE="bucket:$(setting BACKUP_S3_BUCKET)/$(setting COMPOSE_PROJECT_NAME eatfit24)" \
    rclone --quiet --contimeout 10s --timeout 60s --retries 2 --low-level-retries 3 "$@"
}

# -- point in time -----------------------------------------------------------------------------

postgres_image() { compose config --images db; }

wal_of() { # BACKUP: where the WAL of its cluster lies, beside it
  printf '%s/wal/%s' "$(dirname -- "$1")" "$(about "$1" cluster)"
}

start_recovery() { # CONTAINER BACKUP [TIME]: replays WAL onto the base, up to TIME or to its end
  local container=$1 backup=$2 until=${3:-} image wal segment staged
  local options=(-c archive_mode=off -c "listen_addresses=" -c hot_standby=off
    -c "restore_command=gzip -dc /var/lib/postgresql/wal/%f.gz > %p"
    -c recovery_target_action=promote)
  [[ -z $until ]] || options+=(-c "recovery_target_time=$until")
  image=$(postgres_image)
  wal=$(wal_of "$backup")
  docker volume create "$container" >/dev/null
  local run=(docker run --network none --user 999:999 --cap-drop ALL
    --security-opt no-new-privileges:true --volume "$container:/var/lib/postgresql")
  unseal "$backup/base.tar.gz" |
    "${run[@]}" --rm --interactive --entrypoint sh "$image" -c \
      'mkdir -m 700 /var/lib/postgresql/recovered && tar -xz -C /var/lib/postgresql/recovered \
       && touch /var/lib/postgresql/recovered/recovery.signal'
  staged=$(mktemp -d "$backups/.wal.XXXXXX")
  for segment in "$wal"/*; do
    segment=${segment%.age}
    [[ ${segment##*/} < $(about "$backup" wal_from) ]] || unseal "$segment" >"$staged/${segment##*/}"
  done
  tar -C "$staged" -c . | "${run[@]}" --rm --interactive --entrypoint sh "$image" -c \
    'mkdir /var/lib/postgresql/wal && tar -x --no-same-owner -C /var/lib/postgresql/wal'
  rm -rf "$staged"
  "${run[@]}" --detach --name "$container" --env PGDATA=/var/lib/postgresql/recovered \
    --tmpfs /var/run/postgresql:mode=1777 --shm-size 256m "$image" \
    postgres "${options[@]}" >/dev/null
}

wait_for_recovery() { # CONTAINER: 0 it is promoted; 1 WAL ended before the time; 2 it failed
  local words
  while true; do
    if docker exec "$1" psql -U postgres -X -qtAc 'SELECT pg_is_in_recovery()' postgres 2>/dev/null | grep -qx f; then
      return 0
    fi
    if [[ $(docker inspect --format '{{.State.Running}}' "$1") == false ]]; then
      words=$(docker logs --tail 20 "$1" 2>&1)
      [[ $words != *"recovery ended before configured recovery target"* ]] || return 1
      printf '%s\n' "$words" | tail -n 5 >&2
      return 2
    fi
    sleep 0.3
  done
}

end_recovery() { # CONTAINER
  docker rm --force --volumes "$1" >/dev/null 2>&1 || true
  docker volume rm "$1" >/dev/null 2>&1 || true
}
