#!/usr/bin/env bash
# Looks for what is not as it should be, and tells the administrators: once when it begins, once when
# it is over. Run by a timer every minute.
#
#   scripts/runtime-anomaly-detector.sh [--dry-run]     --dry-run prints what is wrong now, and tells nobody
#
# Restarts, health, memory against the alarms in compose.yml, waiting and failed jobs, disk,
# certificate, age of backup, WAL and rehearsal. Tells by Telegram (TELEGRAM_BOT_TOKEN,
# ADMIN_CHAT_IDS) without the application, which may be what is down; what could not be told waits
# in .state/outbox.
#
# Exit codes: 0 it looked and everything was told; 1 something waits to be told; 64 wrong arguments.
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=lib/operator.sh
source scripts/lib/operator.sh

readonly RESTARTS_TOLD_MINUTES=10 QUEUE_SECONDS=300 FREE_PERCENT=10 CERTIFICATE_DAYS=14
readonly BACKUP_HOURS=26 WAL_MINUTES=20 REHEARSAL_DAYS=10 DEPLOY_MINUTES=30
project=$(setting COMPOSE_PROJECT_NAME eatfit24)
backups=$(setting BACKUP_DIR backups)
readonly project backups
readonly alarms=$state/alarms outbox=$state/outbox

wrong() { # KEY WORDS: what is wrong now; the key says whether it is the same as before
  found[$1]=$2
}

deploying() { # containers come and go meanwhile; one that was cut short does not hide for ever
  [[ -n $(find "$state/deploying" -mmin "-$DEPLOY_MINUTES" 2>/dev/null) ]]
}

look_at_containers() {
  local service id status health restarts seen
  mkdir -p "$state/restarts"
  while read -r service; do
    id=$(docker ps --all --quiet --latest --filter "label=com.docker.compose.project=$project" \
      --filter "label=com.docker.compose.service=$service" --filter label=com.docker.compose.oneoff=False)
    if [[ -z $id ]]; then
      wrong "container-$service" "$service does not run: there is no container"
      continue
    fi
    read -r status health restarts < <(docker inspect --format \
      '{{.State.Status}} {{with .State.Health}}{{.Status}}{{else}}none{{end}} {{.RestartCount}}' "$id")
    if [[ $status != running ]]; then
      wrong "container-$service" "$service does not run: $status"
    elif [[ $health == unhealthy ]]; then
      wrong "health-$service" "$service is unhealthy"
    fi
    seen=$state/restarts/$service
    if [[ $restarts != 0 && "$id $restarts" != "$(cat "$seen" 2>/dev/null)" ]]; then
      touch "$seen.lately"
    fi
    printf '%s' "$id $restarts" >"$seen"
    if [[ -n $(find "$seen.lately" -mmin "-$RESTARTS_TOLD_MINUTES" 2>/dev/null) ]]; then
      wrong "restarts-$service" "$service was restarted by Docker within the last $RESTARTS_TOLD_MINUTES minutes"
    fi
  done < <(docker compose config --services)
}

look_at_memory() { # docker stats says 123.4MiB or 1.2GiB; the alarm is a label, in MB
  local name alarm used
  while read -r name alarm; do
    [[ -n $alarm ]] || continue
    used=$(docker stats --no-stream --format '{{.MemUsage}}' "$name" 2>/dev/null |
      awk '{ unit = substr($1, length($1) - 2); factor = unit == "GiB" ? 1024 : unit == "KiB" ? 1 / 1024 : 1
             printf "%d", $1 * factor * 1.048576 }')
    if [[ ${used:-0} -gt $alarm ]]; then
      wrong "memory-$name" "$name uses $used MB; the alarm is $alarm MB"
    fi
  done < <(docker ps --filter "label=com.docker.compose.project=$project" \
    --filter label=com.docker.compose.oneoff=False --format '{{.Names}} {{.Label "eatfit24.memory-alarm-mb"}}')
}

look_at_the_door() {
  local host port status
  host=$(setting ALLOWED_HOSTS)
  port=$(setting CHECK_PORT 8000)
  status=$(curl -s -m 10 -o /dev/null -w '%{http_code}' -H "Host: ${host%%,*}" -H 'X-Forwarded-Proto: https' \
    "http://127.0.0.1:$port/health/") || true
  [[ $status == 200 ]] || wrong health "/health/ answers ${status/#000/nothing}"
}

look_at_jobs() {
  local kind value what
  # Where the backend is away, that is told already.
  what=$(docker compose exec -T backend python manage.py jobs watch 2>/dev/null </dev/null) || return 0
  while read -r kind value what; do
    case $kind in
      waiting) ((value <= QUEUE_SECONDS)) || wrong "queue-$what" "a job on $what has waited for $value s" ;;
      failed) ((value == 0)) || wrong "failed-jobs" "$value failed jobs wait for a decision: manage.py jobs list" ;;
    esac
  done <<<"$what"
}

look_at_disks() {
  local path use
  for path in "$(docker info --format '{{.DockerRootDir}}' 2>/dev/null || echo /)" "$backups" .; do
    [[ -e $path ]] || continue
    use=$(df --output=pcent "$path" | tail -n 1 | tr -dc 0-9)
    ((100 - use >= FREE_PERCENT)) || wrong "disk-$(df --output=target "$path" | tail -n 1 | tr -c 'A-Za-z0-9\n' _)" \
      "the disk of $path is $use % full"
  done
}

look_at_certificate() {
  local file
  file=$(setting TLS_DIR ./.state/tls)/fullchain.pem
  [[ -r $file ]] || return 0
  openssl x509 -checkend $((CERTIFICATE_DAYS * 86400)) -noout -in "$file" >/dev/null ||
    wrong certificate "the certificate ends $(openssl x509 -enddate -noout -in "$file" | cut -d = -f 2)"
}

look_at_backups() {
  [[ -n $(find "$backups" -mindepth 1 -maxdepth 1 -name '20*Z' -mmin "-$((BACKUP_HOURS * 60))" -print -quit 2>/dev/null) ]] ||
    wrong backup "there is no backup of the last $BACKUP_HOURS hours"
  if [[ -d $backups/wal ]]; then
    [[ -n $(find "$backups/wal" -type f -mmin "-$WAL_MINUTES" -print -quit) || -n $(find "$state/wal-fetched" -mmin "-$WAL_MINUTES" 2>/dev/null) ]] ||
      wrong wal "no WAL was fetched for $WAL_MINUTES minutes: see eatfit24-wal.service"
  fi
  if [[ -e $state/restore-rehearsal ]]; then
    grep -q $'\tok\t' "$state/restore-rehearsal" || wrong rehearsal "the last rehearsal of a restore failed: $(cut -f 3 "$state/restore-rehearsal")"
    [[ -n $(find "$state/restore-rehearsal" -mtime "-$REHEARSAL_DAYS") ]] ||
      wrong rehearsal-age "no restore was rehearsed for $REHEARSAL_DAYS days"
  fi
}

compare() { # with what was told: begins and ends go into the outbox
  local key began
  mkdir -p "$alarms"
  for key in "${!found[@]}"; do
    if [[ ! -e $alarms/$key ]]; then
      put "🔴 $project: ${found[$key]}"
      printf '%s\n' "${found[$key]}" >"$alarms/$key"
    fi
  done
  for key in "$alarms"/*; do
    [[ -e $key && -z ${found[${key##*/}]:-} ]] || continue
    began=$(stat -c %Y "$key")
    put "🟢 $project: over after $((($(date +%s) - began) / 60)) min: $(cat "$key")"
    rm -f "$key"
  done
}

put() { # WORDS: for every administrator, in order, before they count as told
  local chat
  say "$1"
  mkdir -p "$outbox"
  for chat in $(setting ADMIN_CHAT_IDS | tr ',' ' '); do
    printf '%s\n%s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" | replace_file "$outbox/$(date +%s%N).$chat"
  done
}

tell() {
  local message chat status text
  for message in "$outbox"/*; do
    [[ -e $message ]] || return 0
    chat=${message##*.}
    text=$(sed -n '2,$p' "$message")
    # Late ones say when it was.
    [[ -n $(find "$message" -mmin -5) ]] || text="$text ($(head -n 1 "$message"))"
    status=$(
      # The address holds the token: it is not given as an argument, which anybody could list.
      printf 'url = "%s/bot%s/sendMessage"\n' "$(setting TELEGRAM_API_URL https://api.telegram.org)" "$(setting TELEGRAM_BOT_TOKEN)" |
        curl -s -m 10 -o /dev/null -w '%{http_code}' --config - --data-urlencode "chat_id=$chat" --data-urlencode "text=$text"
    ) || true
    case $status in
      200) rm -f "$message" ;;
      400 | 403) warn "Telegram refuses chat $chat ($status): $text"; rm -f "$message" ;;
      *) warn "Telegram does not answer (${status:-nothing}); what is to be told waits in $outbox"; return 1 ;;
    esac
  done
}

main() {
  local -A found=()
  case ${1:-} in
    --dry-run) dry_run=1 ;;
    -h | --help) usage; exit 0 ;;
    "") ;;
    *) misused "what is $1?" ;;
  esac
  mkdir -p "$state"
  take_lock detector
  if ! deploying; then
    look_at_containers
    look_at_the_door
  fi
  look_at_memory
  look_at_jobs
  look_at_disks
  look_at_certificate
  look_at_backups
  if ((dry_run)); then
    printf '%s\n' "${found[@]}" | sort
    exit
  fi
  compare
  tell
}

main "$@"
