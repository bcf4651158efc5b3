#!/usr/bin/env bash
# Proves that the newest backup can be restored, without touching what runs.
#
#   scripts/restore-rehearsal.sh [--dry-run] [--offsite]
#
#   --offsite    rehearse with what off-site holds
#
# Loads the backup into a scratch database, compares the rows and the checksum of every table with
# what was backed up, applies this release's migrations, audits the ledger, and replays all WAL onto
# the base. The result stands in the console (operations: reports).
#
# Exit codes: 0 the backup is good; 1 it is not, with the reason; 64 wrong arguments.
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=lib/operator.sh
source scripts/lib/operator.sh
# shellcheck source=lib/backups.sh
source scripts/lib/backups.sh

scratch='' recovery='' backup='' fetched='' detail='was cut short' ok=0

finish() {
  [[ -z $scratch ]] || drop_scratch "$scratch" || true
  [[ -z $recovery ]] || end_recovery "$recovery"
  [[ -z $fetched ]] || rm -rf -- "$fetched"
  record
}

record() {
  local result=failed
  ((ok)) && result=ok
  mkdir -p "$state"
  printf '%s\t%s\t%s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$result" "$detail" | replace_file "$state/restore-rehearsal"
  compose exec -T backend python manage.py report restore-rehearsal "$result" "$detail" </dev/null ||
    warn "the console could not be told; the result stands in $state/restore-rehearsal"
}

broken() {
  detail="${backup:+${backup##*/}: }$*"
  fail "$detail"
}

main() {
  local offsite_wanted=0 started=$SECONDS tables rows base replayed=none
  while [[ $# -gt 0 ]]; do
    case $1 in
      --dry-run) dry_run=1 ;;
      --offsite) offsite_wanted=1 ;;
      -h | --help) usage; exit 0 ;;
      *) misused "what is $1?" ;;
    esac
    shift
  done
  if ((dry_run)); then
    say "would: restore $(newest_backup) into a scratch database, compare, audit, and drop it"
    exit
  fi
  take_lock restore
  trap finish EXIT
  if ((offsite_wanted)); then
    offsite_is_configured || broken "BACKUP_S3_BUCKET is not set: there is nothing off-site"
    need rclone rclone "backups are fetched with it"
    backup=$(offsite lsf --dirs-only offsite: | grep '^20' | sort | tail -n 1)
    [[ -n $backup ]] || broken "there is no backup off-site"
    mkdir -p "$backups"
    fetched=$(mktemp -d "$backups/.offsite.XXXXXX")
    offsite copy "offsite:$backup" "$fetched/$backup"
    backup=$fetched/${backup%/}
    # The WAL that is there, not what is here.
    offsite copy "offsite:wal/$(about "$backup" cluster)" "$(wal_of "$backup")"
  else
    backup=$(newest_backup)
  fi
  [[ -n $backup ]] || broken "there is no backup in $backups"
  detail="${backup##*/}: truncated, corrupted, incomplete or for another key"
  verify_backup "$backup"
  detail="${backup##*/}: could not be loaded"
  say "loading ${backup##*/} into a scratch database"
  scratch=${database}_rehearsal
  drop_scratch "$scratch"
  create_scratch "$scratch"
  unseal "$backup/database.dump" | load_dump "$scratch"
  tables=$(wc -l <"$backup/tables")
  rows=$(awk -F '\t' '{ rows += $2 } END { print rows + 0 }' "$backup/tables")
  same_tables "$backup/tables" "$scratch" || broken "what was loaded is not what was backed up"
  say "$tables tables with $rows rows are the same, to the byte"
  manage "$scratch" migrate --noinput --verbosity 0 || broken "this release's migrations fail on it"
  manage "$scratch" billing_audit || broken "the ledger does not add up"
  base=$(compgen -G "$backup/base.tar.gz*" || true)
  if [[ -n $base ]]; then
    say "replaying all WAL onto the base"
    recovery=eatfit24-rehearsal-$$
    start_recovery "$recovery" "$backup"
    wait_for_recovery "$recovery" || broken "WAL could not be replayed onto its base"
    replayed=$(docker exec "$recovery" psql -U postgres -X -qtAc "SELECT coalesce(date_trunc('second', pg_last_xact_replay_timestamp())::text, 'its own moment')" "$database")
    [[ $(docker exec "$recovery" psql -U postgres -X -qtAc 'SELECT count(*) > 0 FROM django_migrations' "$database") == t ]] ||
      broken "the replayed cluster has no tables"
  fi
  ok=1
  detail="${backup##*/}: $tables tables, $rows rows, the ledger adds up, WAL up to $replayed, $((SECONDS - started)) s"
  say "good: $detail"
}

main "$@"
