#!/usr/bin/env bash
# Keeps the database and the photos where they can be brought back from.
#
#   scripts/backup.sh [--dry-run]         a whole backup, and the WAL so far; old ones are removed
#   scripts/backup.sh [--dry-run] wal     the WAL so far alone, for the timer of every five minutes
#   scripts/backup.sh list                what there is
#
# Writes into BACKUP_DIR, encrypted for BACKUP_AGE_RECIPIENT, copied to BACKUP_S3_BUCKET where these
# are set. Nothing has to stop for it. Interrupted, it leaves no half backup.
#
# Exit codes: 0 done; 1 failed, and what there was is still there; 64 wrong arguments.
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=lib/operator.sh
source scripts/lib/operator.sh
# shellcheck source=lib/backups.sh
source scripts/lib/backups.sh

partial=''

clean_up() {
  [[ -z $partial ]] || rm -rf -- "$partial"
}

fetch_wal() { # finished segments, out of the database's container
  local cluster segment target fetched=0
  query postgres <<<'SELECT pg_switch_wal()' >/dev/null
  wait_until_archived
  while IFS=/ read -r cluster segment; do
    target=$backups/wal/$cluster/$segment
    mkdir -p "${target%/*}"
    partial=$backups/.partial-wal
    mkdir -p "$partial"
    in_db cat "/var/lib/postgresql/wal/$cluster/$segment" </dev/null | seal "$partial/$segment"
    sync "$partial"/*
    mv "$partial"/* "${target%/*}/"
    in_db rm "/var/lib/postgresql/wal/$cluster/$segment" </dev/null
    fetched=$((fetched + 1))
  done < <(in_db sh -c 'cd /var/lib/postgresql/wal && ls -d */*.gz 2>/dev/null | sort')
  rm -rf -- "$backups/.partial-wal"
  partial=''
  touch "$state/wal-fetched"
  say "WAL: $fetched segments fetched"
}

wait_until_archived() { # the segment that was just closed, for at most a minute
  local closed tries
  closed=$(query postgres <<<"SELECT pg_walfile_name(pg_current_wal_lsn() - 1)")
  for ((tries = 0; tries < 300; tries++)); do
    # Nothing was written since the last switch, or the segment is there.
    if [[ $(query postgres <<<"SELECT coalesce(last_archived_wal, '') >= '$closed'
        OR pg_walfile_name(pg_current_wal_lsn()) <= '$closed' FROM pg_stat_archiver") == t ]]; then
      return
    fi
    sleep 0.2
  done
  fail "WAL is not archived: $(query postgres <<<"SELECT 'last failure ' || coalesce(last_failed_time::text, 'never') || ' at ' || coalesce(last_failed_wal, '') FROM pg_stat_archiver"); see 'docker compose logs db'"
}

dump() { # DIRECTORY: database.dump and tables, of one snapshot
  local directory=$1 snapshot line
  coproc SNAPSHOT { query "$database"; }
  printf '%s\n' 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;' 'SELECT pg_export_snapshot();' >&"${SNAPSHOT[1]}"
  read -r -t 60 snapshot <&"${SNAPSHOT[0]}" || fail "the database gave no snapshot"
  { checksum_query; printf '%s\n' '\echo end'; } >&"${SNAPSHOT[1]}"
  while IFS= read -r line <&"${SNAPSHOT[0]}" && [[ $line != end ]]; do printf '%s\n' "$line"; done >"$directory/tables"
  [[ $line == end ]] || fail "the rows of the tables could not be counted"
  in_db pg_dump -U postgres --format=custom --compress=zstd:3 --snapshot="$snapshot" "$database" </dev/null |
    seal "$directory/database.dump"
  printf '%s\n' '\q' >&"${SNAPSHOT[1]}"
  wait "$SNAPSHOT_PID" || true
}

take_backup() {
  local name cluster wal_from
  name=$(date -u +%Y-%m-%dT%H-%M-%SZ)
  partial=$backups/.partial-$name
  mkdir -p "$partial"
  cluster=$(query postgres <<<'SELECT system_identifier FROM pg_control_system()')
  say "dumping $database"
  dump "$partial"
  say "copying the cluster, onto which WAL can be replayed"
  wal_from=$(query postgres <<<'SELECT pg_walfile_name(pg_current_wal_lsn())')
  in_db pg_basebackup -U postgres --pgdata=- --format=tar --wal-method=none --checkpoint=fast \
    --compress=server-gzip:1 --no-manifest </dev/null 2>"$partial.log" | seal "$partial/base.tar.gz" ||
    fail "the cluster could not be copied: $(tail -n 3 "$partial.log")"
  rm -f "$partial.log"
  say "copying the photos"
  # 1 says that one of them went or came meanwhile.
  # shellcheck disable=SC2016 # the container's own status
  compose run --rm --no-deps -T --entrypoint sh backend -c 'tar -C /srv/photos -cz . || [ $? = 1 ]' </dev/null |
    seal "$partial/photos.tar.gz"
  cat >"$partial/about" <<ABOUT
taken_at=${name:0:10} ${name:11:2}:${name:14:2}:${name:17:2}+00
ready_at=$(query postgres <<<'SELECT now()')
release=$(setting RELEASE dev)
database=$database
cluster=$cluster
wal_from=$wal_from
ABOUT
  (cd "$partial" && sha256sum -- * >.sums && mv .sums SHA256SUMS)
  sync "$partial"/*
  mv "$partial" "$backups/$name"
  partial=''
  say "kept $backups/$name ($(du -sh "$backups/$name" | cut -f 1))"
}

remove_old() {
  local backup name kept oldest bases day segment
  kept=$(list_backups | sed 's|.*/||' | kept_names)
  while IFS= read -r backup; do
    name=${backup##*/}
    grep -qx -- "$name" <<<"$kept" || step "removing $backup, which is past its keeping" rm -rf -- "$backup"
  done < <(list_backups)
  # A base is of use only with all WAL since; both are kept for the days.
  day=$(date -u -d "$(setting BACKUP_KEEP_DAYS 7) days ago" +%Y-%m-%d)
  while IFS= read -r backup; do
    name=${backup##*/}
    [[ $name < $day && $backup != "$(newest_backup)" ]] || continue
    for bases in "$backup"/base.tar.gz*; do
      [[ -e $bases ]] || continue
      sed -i '/ base\.tar\.gz/d' "$backup/SHA256SUMS"
      rm -f -- "$bases"
    done
  done < <(list_backups)
  oldest=$(for backup in $(list_backups); do
    if compgen -G "$backup/base.tar.gz*" >/dev/null; then printf '%s/%s\n' "$(about "$backup" cluster)" "$(about "$backup" wal_from)"; fi
  done)
  for segment in "$backups"/wal/*/*; do
    [[ -e $segment ]] || continue
    needed "${segment#"$backups"/wal/}" "$oldest" || rm -f -- "$segment"
  done
}

needed() { # CLUSTER/SEGMENT, FIRST NEEDED ONES: is it at or after one of the same cluster?
  local first
  while IFS= read -r first; do
    [[ ${first%%/*} == "${1%%/*}" && ! ${1##*/} < ${first##*/} ]] && return
  done <<<"$2"
  return 1
}

copy_offsite() { # only ever adds: what is lost here must not be lost there
  offsite_is_configured || return 0
  need rclone rclone "BACKUP_S3_BUCKET asks for a copy off-site"
  say "copying off-site"
  offsite copy --exclude '.*/**' "$backups" offsite: ||
    fail "the copy off-site failed; the backup here is whole"
  touch "$state/offsite-copied"
}

remove_old_offsite() { # by what is there, not by what is here
  offsite_is_configured || return 0
  local names name
  names=$(offsite lsf --dirs-only offsite: | sed -n 's|^\(20.*Z\)/$|\1|p')
  while IFS= read -r name; do
    [[ -z $name ]] || offsite purge "offsite:$name"
  done < <(comm -23 <(sort <<<"$names") <(kept_names <<<"$names" | sort))
  offsite delete --min-age "$(($(setting BACKUP_KEEP_DAYS 7) + 2))d" offsite:wal
}

list() {
  local backup
  while IFS= read -r backup; do
    printf '%s  %6s  release %s%s\n' "$backup" "$(du -sh "$backup" | cut -f 1)" "$(about "$backup" release)" \
      "$(compgen -G "$backup/base.tar.gz*" >/dev/null && echo ', point in time')"
  done < <(list_backups)
}

main() {
  local what=all
  while [[ $# -gt 0 ]]; do
    case $1 in
      --dry-run) dry_run=1 ;;
      -h | --help) usage; exit 0 ;;
      wal | list) what=$1 ;;
      *) misused "what is $1?" ;;
    esac
    shift
  done
  if [[ $what == list ]]; then list; exit; fi
  require_encryption_tools
  if ((dry_run)); then
    say "would: fetch the WAL so far into $backups/wal"
    [[ $what == wal ]] || say "would: back up $database and the photos into $backups, and remove what is past its keeping"
    if offsite_is_configured; then say "would: copy $backups off-site"; fi
    exit
  fi
  mkdir -p "$backups"
  take_lock backup
  trap clean_up EXIT
  rm -rf -- "$backups"/.partial-* "$backups"/.wal.*
  if [[ $what == all ]]; then take_backup; fi
  fetch_wal
  if [[ $what == all ]]; then remove_old; fi
  copy_offsite
  if [[ $what == all ]]; then remove_old_offsite; fi
}

main "$@"
