#!/usr/bin/env bash
# Looks for what is not as it should be, and tells the administrators: once when it begins, once when
# it is over. Run by a timer every minute.
#
#   scripts/runtime-anomaly-detector.sh [--dry-run]     --dry-run prints what is wrong now, and tells nobody
#
# Containers, restarts, health, memory against the alarms in compose.yml, waiting and failed jobs,
# disk, certificate, age of backup, WAL, off-site copy and rehearsal. What cannot be seen now stays
# as it was told; what was not seen for 3 minutes is over. Tells by Telegram (TELEGRAM_BOT_TOKEN,
# ADMIN_CHAT_IDS) without the application, which may be what is down; what could not be told waits
# in .state/outbox.
#
# Exit codes: 0 it looked and everything was told; 1 something waits to be told; 64 wrong arguments.
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=lib/operator.sh
source scripts/lib/operator.sh
# shellcheck source=lib/backups.sh
source scripts/lib/backups.sh

readonly CALM_MINUTES=3 # what comes and goes within these is one alarm
readonly RESTARTS_TOLD_SECONDS=600 QUEUE_SECONDS=300 FREE_PERCENT=10 CERTIFICATE_DAYS=14
readonly BACKUP_HOURS=26 WAL_MINUTES=20 OFFSITE_MINUTES=60 REHEARSAL_DAYS=10 DEPLOY_MINUTES=30
project=$(setting COMPOSE_PROJECT_NAME eatfit24)
readonly project
readonly alarms=$state/alarms outbox=$state/outbox

docker() { timeout --kill-after 5 30 docker "$@"; } # an engine that hangs hides nothing else

wrong() { # KEY WORDS: what is wrong now; the key says whether it is the same as before
  found[$1]=$2
}

unseen() { # PREFIX…: nothing can be said of these now, so what was told of them still holds
  local prefix alarm
  for prefix in "$@"; do
    for alarm in "$alarms/$prefix"*; do
      [[ ! -e $alarm ]] || wrong "${alarm##*/}" "$(sed -n 2p "$alarm")"
    done
  done
}

deploying() { # containers come and go meanwhile; one that was cut short does not hide for ever
  lately "$state/deploying" "$DEPLOY_MINUTES"
}

lately() { # FILE MINUTES: was it written within these?
  [[ -n $(find "$1" -maxdepth 0 -mmin "-$2" 2>/dev/null) ]]
}

of_project=()

look_at_engine() { # 1: nothing can be known of containers
  of_project=(--filter "label=com.docker.compose.project=$project" --filter label=com.docker.compose.oneoff=False)
  if ! docker ps --quiet >/dev/null 2>&1; then
    wrong engine "Docker does not answer"
  elif ! services=$(docker compose config --services 2>/dev/null); then
    wrong configuration "compose.yml and .env cannot be read: see 'docker compose config'"
  else
    return 0
  fi
  unseen container- health- restarts- memory- jobs queue- failed-jobs
  return 1
}

look_at_containers() {
  local ids rows='' service seen status health restarts started
  ids=$(docker ps --all --quiet "${of_project[@]}")
  # shellcheck disable=SC2086 # one word an id
  [[ -z $ids ]] || rows=$(docker inspect --format \
    '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{with .State.Health}}{{.Status}}{{else}}none{{end}} {{.RestartCount}} {{.State.StartedAt}}' $ids 2>/dev/null) || true # one may have gone between
  for service in $services; do
    seen=''
    while read -r _ status health restarts started; do
      [[ -n $status && $seen != running ]] || continue
      seen=$status
      if [[ "$status $health" == "running unhealthy" ]]; then wrong "health-$service" "$service is unhealthy"; fi
      if ((restarts > 0 && $(date +%s) - $(date -d "$started" +%s) < RESTARTS_TOLD_SECONDS)); then
        wrong "restarts-$service" "$service was restarted by Docker within the last $((RESTARTS_TOLD_SECONDS / 60)) minutes"
      fi
    done < <(grep "^$service " <<<"$rows")
    [[ $seen == running ]] || wrong "container-$service" "$service does not run: ${seen:-there is no container}"
  done
}

look_at_memory() { # docker stats says 123.4MiB or 1.2GiB; the alarm is a label, in MB
  local name alarm used usages
  usages=$(docker stats --no-stream --format '{{.Name}} {{.MemUsage}}') || { unseen memory-; return; }
  while read -r name alarm; do
    used=$(awk -v name="$name" '$1 == name {
      number = $2 + 0; unit = $2; sub(/^[0-9.]+/, "", unit)
      printf "%d", number * (unit == "GiB" ? 1024 : unit == "MiB" ? 1 : 0) * 1.048576 }' <<<"$usages")
    if [[ -n $alarm && ${used:-0} -gt $alarm ]]; then
      wrong "memory-$name" "$name uses $used MB; the alarm is $alarm MB"
    fi
  done < <(docker ps "${of_project[@]}" --format '{{.Names}} {{.Label "eatfit24.memory-alarm-mb"}}')
}

look_at_the_door() {
  local host port status
  host=$(setting ALLOWED_HOSTS)
  port=$(setting CHECK_PORT 8000)
  status=$(curl -s -m 10 -o /dev/null -w '%{http_code}' -H "Host: ${host%%,*}" -H 'X-Forwarded-Proto: https' \
    "http://127.0.0.1:$port/health/") || true
  [[ $status == 200 ]] || wrong door "/health/ answers ${status/#000/nothing}"
}

look_at_jobs() {
  local kind value what counts
  if ! counts=$(docker compose exec -T backend python manage.py jobs watch 2>/dev/null </dev/null); then
    unseen queue- failed-jobs
    # Where the backend is away, that is told already.
    [[ -n ${found[container-backend]:-}${found[health-backend]:-}${found[door]:-} ]] || deploying ||
      wrong jobs "jobs cannot be counted: docker compose exec backend python manage.py jobs watch"
    return 0
  fi
  while read -r kind value what; do
    case $kind in
      waiting) ((value <= QUEUE_SECONDS)) || wrong "queue-$what" "a job of $what has waited for $value s" ;;
      failed) ((value == 0)) || wrong "failed-jobs" "failed jobs wait for a decision ($value): manage.py jobs list" ;;
    esac
  done <<<"$counts"
}

look_at_disks() {
  local path use mount
  for path in "$(docker info --format '{{.DockerRootDir}}' 2>/dev/null | grep / || echo /)" "$backups" .; do
    read -r use mount < <(df --output=pcent,target "$path" 2>/dev/null | tail -n 1) || continue
    ((100 - ${use%\%} >= FREE_PERCENT)) || wrong "disk-${mount//[^A-Za-z0-9]/_}" "the disk of $mount is ${use%\%} % full"
  done
}

look_at_certificate() {
  local file ends
  file=$(setting TLS_DIR ./.state/tls)/fullchain.pem
  [[ -e $file ]] || return 0
  if ! ends=$(openssl x509 -enddate -noout -in "$file" 2>/dev/null); then
    wrong certificate-unreadable "the certificate $file cannot be read"
  elif ! openssl x509 -checkend $((CERTIFICATE_DAYS * 86400)) -noout -in "$file" >/dev/null; then
    wrong certificate "the certificate ends at ${ends#notAfter=}"
  fi
}

look_at_backups() {
  local newest oldest rehearsed=$state/restore-rehearsal
  newest=$(newest_backup)
  newest=${newest##*/} oldest=$(list_backups | head -n 1) oldest=${oldest##*/}
  if [[ -z $newest || $newest < $(ago "$BACKUP_HOURS hours") ]]; then
    wrong backup "there is no backup of the last $BACKUP_HOURS hours: see eatfit24-backup.service"
  fi
  [[ -n $newest ]] || return 0
  lately "$state/wal-fetched" "$WAL_MINUTES" ||
    wrong wal "no WAL was fetched for $WAL_MINUTES minutes: see eatfit24-wal.service"
  if offsite_is_configured && ! lately "$state/offsite-copied" "$OFFSITE_MINUTES"; then
    wrong offsite "nothing was copied off-site for $OFFSITE_MINUTES minutes: see eatfit24-wal.service"
  fi
  if [[ ! -e $rehearsed ]]; then
    [[ $oldest > $(ago "$REHEARSAL_DAYS days") ]] || wrong rehearsal-age "no restore was ever rehearsed: scripts/restore-rehearsal.sh"
    return 0
  fi
  grep -q $'\tok\t' "$rehearsed" || wrong rehearsal "the last rehearsal of a restore failed: $(cut -f 3 "$rehearsed")"
  lately "$rehearsed" $((REHEARSAL_DAYS * 1440)) ||
    wrong rehearsal-age "no restore was rehearsed for $REHEARSAL_DAYS days: see eatfit24-restore-rehearsal.service"
}

ago() { # WORDS: that moment, as backups are named
  date -u -d "$1 ago" +%Y-%m-%dT%H-%M-%SZ
}

compare() { # with what was told; a file an alarm: since when, and its words; touched while it lasts
  local key alarm
  mkdir -p "$alarms"
  for key in "${!found[@]}"; do
    alarm=$alarms/$key
    if [[ -e $alarm ]]; then
      touch "$alarm"
    else
      put "🔴 $project: ${found[$key]}"
      printf '%s\n%s\n' "$(date +%s)" "${found[$key]}" | replace_file "$alarm"
    fi
  done
  for alarm in "$alarms"/*; do
    [[ -e $alarm && -z ${found[${alarm##*/}]:-} ]] || continue
    ! lately "$alarm" "$CALM_MINUTES" || continue
    put "🟢 $project: over after $((($(stat -c %Y "$alarm") - $(head -n 1 "$alarm")) / 60 + 1)) min: $(sed -n 2p "$alarm")"
    rm -f "$alarm"
  done
}

put() { # WORDS: for every administrator, in order, before they count as told
  local chat
  say "$1"
  mkdir -p "$outbox"
  for chat in $(setting ADMIN_CHAT_IDS | tr ',' ' '); do
    printf '%s\n%s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "${1:0:1000}" | replace_file "$outbox/$(date +%s%N).$chat"
  done
}

tell() {
  local message chat status text
  for message in "$outbox"/*; do
    [[ -e $message ]] || return 0
    chat=${message##*.}
    text=$(sed -n 2p "$message")
    # Late ones say when it was.
    lately "$message" 5 || text="$text ($(head -n 1 "$message"))"
    status=$(send "$chat" "$text") || true
    case $status in
      200) rm -f "$message" ;;
      400 | 403) warn "Telegram refuses chat $chat ($status): $text"; rm -f "$message" ;;
      *) warn "Telegram does not answer (${status/#000/nothing}); what is to be told waits in $outbox"; return 1 ;;
    esac
  done
}

send() { # CHAT TEXT: prints the answer's status
  printf '{"chat_id": %s, "text": %s}' "$1" "$(json_string "$2")" |
    curl -s -m 10 -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' --data-binary @- --config <(
      # The address holds the token: it is not given as an argument, which anybody could list.
      printf 'url = "%s/bot%s/sendMessage"\n' "$(setting TELEGRAM_API_URL https://api.telegram.org)" "$(setting TELEGRAM_BOT_TOKEN)"
    )
}

main() {
  local services=''
  local -A found=()
  case ${1:-} in
    --dry-run) dry_run=1 ;;
    -h | --help) usage; exit 0 ;;
    "") ;;
    *) misused "what is $1?" ;;
  esac
  ((dry_run)) || take_lock detector
  if deploying; then unseen door; else look_at_the_door; fi
  if look_at_engine; then
    if deploying; then unseen container- health- restarts-; else look_at_containers; fi
    look_at_memory
    look_at_jobs
  fi
  look_at_disks
  look_at_certificate
  look_at_backups
  if ((dry_run)); then
    if ((${#found[@]})); then printf '%s\n' "${found[@]}" | sort; else say "nothing is wrong"; fi
    exit
  fi
  compare
  tell
}

main "$@"
