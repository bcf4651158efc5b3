#!/usr/bin/env bash
# Brings the database and the photos back from a backup.
#
#   scripts/restore.sh [OPTIONS] [BACKUP]     BACKUP is the newest where it is not named
#
#   --at TIME    the state of that moment ('2026-01-31 18:05:00+03'), or of the last WAL: --at latest
#   --offsite    fetch the backups from off-site first
#   --yes        do not ask
#   --dry-run    say what would be done
#
# Loads the backup beside the database that is there, compares every table with what was backed up,
# applies this release's migrations and audits the ledger. Only then the processes stop, the two
# databases change names, and the processes start. Whatever fails before leaves everything as it
# was; the former database stays until you drop it. A lost database is made anew first.
#
# Exit codes: 0 restored; 1 failed or refused, nothing changed unless it says so; 64 wrong arguments.
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=lib/operator.sh
source scripts/lib/operator.sh
# shellcheck source=lib/backups.sh
source scripts/lib/backups.sh
# shellcheck source=lib/secrets.sh
source scripts/lib/secrets.sh

backup='' at='' fetch=0 scratch='' recovery='' staged='' stopped=0
readonly processes=(backend celery-worker celery-worker-billing celery-beat)

clean_up() {
  [[ -z $scratch ]] || drop_scratch "$scratch" || true
  [[ -z $recovery ]] || end_recovery "$recovery"
  [[ -z $staged ]] || rm -rf -- "$staged"
  if ((stopped)); then
    warn "starting the processes again, on the database as it was"
    compose up --detach
  fi
}

choose_backup() {
  if ((fetch)); then
    offsite_is_configured || fail "BACKUP_S3_BUCKET is not set: there is nothing off-site"
    need rclone rclone "backups are fetched with it"
    say "fetching from off-site"
    mkdir -p "$backups"
    offsite copy offsite: "$backups"
  fi
  if [[ -n $at && -z $backup ]]; then
    backup=$(newest_base_before "$at")
    [[ -n $backup ]] || fail "no backup with its base is older than $at: see scripts/backup.sh list"
  fi
  backup=${backup:-$(newest_backup)}
  [[ -n $backup ]] || fail "there is no backup in $backups"
  [[ -d $backup ]] || backup=$backups/$backup
  [[ -d $backup ]] || fail "there is no backup $backup: see scripts/backup.sh list"
  verify_backup "$backup"
  if [[ -n $at ]]; then
    compgen -G "$backup/base.tar.gz*" >/dev/null || fail "$backup has no base any more: only its own moment can be restored"
  fi
}

newest_base_before() { # TIME
  local candidate found='' limit
  [[ $1 == latest ]] && limit=9999999999 || limit=$(date -d "$1" +%s)
  while IFS= read -r candidate; do
    compgen -G "$candidate/base.tar.gz*" >/dev/null || continue
    [[ $(date -d "$(about "$candidate" ready_at)" +%s) -gt $limit ]] || found=$candidate
  done < <(list_backups)
  printf '%s' "$found"
}

load_moment() { # the cluster of that moment, in a container of its own, gives the dump
  recovery=eatfit24-recovery-$$
  local time=$at came=0
  [[ $at != latest ]] || time=''
  say "replaying WAL onto $backup${time:+ up to $time}"
  start_recovery "$recovery" "$backup" "$time"
  wait_for_recovery "$recovery" || came=$?
  if [[ $came == 1 ]] && wal_reaches "$time"; then
    # Nothing was written between that moment and the end of the WAL: the end is that moment.
    end_recovery "$recovery"
    start_recovery "$recovery" "$backup"
    came=0
    wait_for_recovery "$recovery" || came=$?
  fi
  case $came in
    1) fail "the WAL here ends before $at; with --at latest you get the last of it" ;;
    2) fail "the WAL could not be replayed" ;;
  esac
  staged=$(mktemp)
  checksum_query | docker exec -i "$recovery" psql -U postgres -X -q -tA -F $'\t' -v ON_ERROR_STOP=1 -d "$database" >"$staged"
  docker exec "$recovery" pg_dump -U postgres --format=custom --compress=none "$database" | load_dump "$scratch"
  end_recovery "$recovery"
  recovery=''
}

wal_reaches() { # TIME: was a segment fetched after it?
  [[ -n $(find "$(wal_of "$backup")" -type f -newermt "$1" -print -quit) ]]
}

load_backup() {
  say "loading $backup beside $database"
  unseal "$backup/database.dump" | load_dump "$scratch"
}

exchange() {
  local former
  former=${database}_before_$(date -u +%Y%m%d%H%M%S)
  say "stopping the processes"
  stopped=1
  compose stop "${processes[@]}"
  disconnect
  query postgres <<SQL
BEGIN;
ALTER DATABASE "$database" RENAME TO "$former";
ALTER DATABASE "$scratch" RENAME TO "$database";
COMMIT;
SQL
  scratch='' stopped=0
  say "$database is the restored one; the former is kept as $former. To drop it:" \
    "  docker compose exec db dropdb -U postgres $former"
}

disconnect() { # nobody else may be in a database that changes its name
  query postgres <<<"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('$database', '$scratch') AND pid <> pg_backend_pid()" >/dev/null
}

restore_media() {
  compgen -G "$backup/photos.tar.gz*" >/dev/null || return 0
  say "unpacking the photos; those that are there stay"
  unseal "$backup/photos.tar.gz" |
    compose run --rm --no-deps -T --entrypoint tar backend -C /srv/photos -xz --skip-old-files
}

main() {
  local started=$SECONDS
  while [[ $# -gt 0 ]]; do
    case $1 in
      --at) [[ -n ${2:-} ]] || misused "--at takes a time"; at=$2; shift ;;
      --offsite) fetch=1 ;;
      --yes) assume_yes=1 ;;
      --dry-run) dry_run=1 ;;
      -h | --help) usage; exit 0 ;;
      -*) misused "what is $1?" ;;
      *) backup=$1 ;;
    esac
    shift
  done
  if [[ -n $at && $at != latest ]]; then
    date -d "$at" >/dev/null 2>&1 || misused "--at takes a time such as '2026-01-31 18:05:00+03', not '$at'"
    at=$(date -u -d "$at" '+%Y-%m-%d %H:%M:%S.%N+00')
  fi
  take_lock restore
  trap clean_up EXIT
  choose_backup
  say "$backup, of $(about "$backup" taken_at) by release $(about "$backup" release), replaces $database${at:+, with all that was written up to $at}."
  confirm "Restore it?"
  if ((dry_run)); then exit; fi

  compose up --detach --wait db redis
  let_env_in
  scratch=${database}_restoring_$(date -u +%Y%m%d%H%M%S)
  create_scratch "$scratch"
  if [[ -n $at ]]; then load_moment; else load_backup; fi
  say "comparing every table"
  same_tables "${staged:-$backup/tables}" "$scratch" || fail "what was loaded is not what was backed up; nothing was changed"
  say "applying this release's migrations and auditing the ledger"
  manage "$scratch" migrate --noinput --verbosity 0 || fail "the migrations failed; nothing was changed"
  manage "$scratch" billing_audit || fail "the ledger does not add up; nothing was changed"
  restore_media
  exchange
  compose up --detach --wait || fail "the database is restored, but the processes do not start: scripts/smoke-test.sh tells which"
  say "restored in $((SECONDS - started)) s"
}

main "$@"
