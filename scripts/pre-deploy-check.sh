#!/usr/bin/env bash
# May RELEASE be deployed to this server? All checks are run, one line each.
#
#   scripts/pre-deploy-check.sh [--json] [--first] [RELEASE]
#
#   RELEASE    the commit whose image is here; what .env names where it is not named
#   --first    nothing runs yet: nothing is asked of the database and of backups
#   --json     one JSON document for machines
#
# Exit codes: 0 nothing blocks (there may be warnings); 1 something does; 64 wrong arguments.
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=lib/operator.sh
source scripts/lib/operator.sh
# shellcheck source=lib/releases.sh
source scripts/lib/releases.sh
# shellcheck source=lib/backups.sh
source scripts/lib/backups.sh

readonly OLDEST_BACKUP_HOURS=24
json=0 first=0 release='' number=0 failed=0 warnings=0
lines=()

report() { # ok|FAILED|warning NAME DETAIL
  number=$((number + 1))
  case $1 in
    FAILED) failed=$((failed + 1)) ;;
    warning) warnings=$((warnings + 1)) ;;
  esac
  if ((json)); then
    lines+=("{\"number\": $number, \"result\": \"${1,,}\", \"name\": $(json_string "$2"), \"detail\": $(json_string "$3")}")
  else
    printf '%2d  %-7s  %s%s\n' "$number" "$1" "$2" "${3:+  ($3)}"
  fi
}

judge() { # NAME PROBLEM: an empty one is none
  if [[ -z $2 ]]; then report ok "$1" ""; else report FAILED "$1" "$2"; fi
}

one_line() { tr '\n\t' '  ' | sed 's/  */ /g; s/ $//' | cut -c 1-500; }

check_tree() {
  local problem=''
  if ! git rev-parse --git-dir >/dev/null 2>&1; then
    problem="this is no clone; compose.yml and scripts come from the repository"
  elif [[ -n $(git status --porcelain) ]]; then
    problem="changed: $(git status --porcelain | cut -c 4- | head -n 5 | paste -sd ' '); commit or undo it"
  fi
  judge "the tree is clean" "$problem"
}

check_tag() {
  local problem='' label
  if ! have_image "$release"; then
    problem="there is no image $repository:$release"
  else
    label=$(docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$repository:$release")
    [[ $label == "$release" ]] || problem="the image $repository:$release was built from '$label'"
  fi
  judge "the release is tagged, and says so itself" "$problem"
}

check_environment_files() {
  local problem='' file mode
  for file in .env?* *.env; do
    case $file in
      .env.example | .env.local) ;;
      *) [[ ! -e $file ]] || problem+="$file " ;;
    esac
  done
  judge "configuration comes from .env alone" "${problem:+takes none of: $problem}"
  mode=$(stat --format %a .env 2>/dev/null || echo 'no file')
  problem="it is $mode: chmod 600 .env"
  [[ $mode =~ ^[0-7]?[0-7]00$ ]] && problem=''
  judge "nobody else can read .env" "$problem"
}

check_backup() {
  local newest hours problem
  newest=$(newest_backup || true) # there may be no directory
  newest=${newest##*/}
  if [[ -z $newest ]]; then
    problem="there is none in $backups: scripts/backup.sh"
  else
    hours=$((($(date +%s) - $(date -d "${newest:0:10} ${newest:11:2}:${newest:14:2}:${newest:17:2} UTC" +%s)) / 3600))
    problem=''
    ((hours < OLDEST_BACKUP_HOURS)) || problem="the newest is $hours hours old: scripts/backup.sh"
  fi
  judge "a backup is younger than a day" "$problem"
}

check_backup_disk() { # BYTES of the database
  local place=$backups available
  while [[ ! -d $place ]]; do place=$(dirname -- "$place"); done
  available=$(($(df --output=avail -B1 "$place" | tail -n 1)))
  # The dump and the base, each at most as large as the database, and as much for WAL.
  local detail="$((available >> 20)) MB are available in $place, $((3 * $1 >> 20)) MB are needed"
  if ((available > 3 * $1)); then
    report ok "the host has room: disk for a backup" "$detail"
  else
    report FAILED "the host has room: disk for a backup" "$detail"
  fi
}

check_open_ports() { # what is published now, whatever the files say
  local open
  open=$(docker ps --filter "label=com.docker.compose.project=$project" \
    --format '{{.Label "com.docker.compose.service"}} {{.Ports}}' |
    grep -E '^[^ ]+ .*(0\.0\.0\.0|\[::\]|:::)[^ ]*->' | cut -d ' ' -f 1 | grep -vx frontend | sort -u | paste -sd ' ' || true)
  judge "the frontend alone is open to the world" "${open:+open as well: $open}"
}

check_inside() { # BYTES of the database: what the image says of itself, of .env and of the Compose files
  local config told errors result name detail image_bytes
  errors=$(mktemp)
  # shellcheck disable=SC2064 # this very file
  trap "rm -f '$errors'" RETURN
  if ! config=$(compose_as "$release" config --format json 2>"$errors"); then
    report FAILED "docker compose config is valid" "$(one_line <"$errors")"
    return
  fi
  report ok "docker compose config is valid" ""
  if ! image_bytes=$(docker image inspect --format '{{.Size}}' "$repository:$release" 2>"$errors"); then
    report FAILED "the image can be asked" "$(one_line <"$errors")"
    return
  fi
  local options=(--image-bytes "$image_bytes" --database-bytes "$1")
  ((first)) && options+=(--first)
  if ! told=$(printf '{"compose": %s, "environment": %s}' "$config" "$(json_string "$(<.env)")" |
    manage_as "$release" before_deploy "${options[@]}" 2>"$errors"); then
    report FAILED "the image can be asked" "$(tail -n 5 "$errors" | one_line)"
  fi
  while IFS=$'\t' read -r result name detail; do
    [[ -z $name ]] || report "$result" "$name" "$detail"
  done <<<"$told"
}

main() {
  local database_bytes=0
  while [[ $# -gt 0 ]]; do
    case $1 in
      --json) json=1 ;;
      --first) first=1 ;;
      -h | --help) usage; exit 0 ;;
      -*) misused "what is $1?" ;;
      *) release=$1 ;;
    esac
    shift
  done
  release=${release:-$current}
  [[ -r .env ]] || fail ".env is missing: cp .env.example .env, and fill it in"
  check_tree
  check_tag
  check_environment_files
  check_open_ports
  if ((!first)); then
    check_backup
    if database_bytes=$(query postgres <<<'SELECT sum(pg_database_size(oid)) FROM pg_database' 2>/dev/null); then
      check_backup_disk "$database_bytes"
    else
      database_bytes=0
      report FAILED "the database can be asked" "docker compose ps db"
    fi
  fi
  check_inside "$database_bytes"
  if ((json)); then
    local IFS=,
    printf '{"ok": %s, "release": %s, "failed": %d, "warnings": %d, "checks": [%s]}\n' \
      "$( ((failed)) && echo false || echo true)" "$(json_string "$release")" "$failed" "$warnings" "${lines[*]}"
  elif ((failed)); then
    say "$release may not be deployed: $failed of $number checks failed"
  else
    say "$release may be deployed: $number checks, $warnings warnings"
  fi
  ((!failed))
}

main "$@"
