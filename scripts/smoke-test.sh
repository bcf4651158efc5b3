#!/usr/bin/env bash
# Does the running stack do its work? One line a check.
#
#   scripts/smoke-test.sh [--json] [BASE_URL]
#
#   BASE_URL   the frontend as people reach it (the port that Compose published)
#   --json     one JSON document for machines
#
# Speaks of the project of this directory, as `docker compose` does (COMPOSE_FILE, .env).
# Exit code 0 only if all checks pass; 1 if one fails; 64 for wrong arguments.
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
json=0 base='' failed=0
lines=() trust=()

usage() { sed -n '2,10s/^# \{0,1\}//p' "scripts/${0##*/}"; }

escape() {  # TEXT -> the inside of a JSON string
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\t'/ }
  printf '%s' "${text//[[:cntrl:]]/}"
}

report() {  # ok|FAILED NAME DETAIL
  [[ $1 == ok ]] || failed=1
  if ((json)); then
    lines+=("{\"name\": \"$(escape "$2")\", \"ok\": $([[ $1 == ok ]] && echo true || echo false), \"detail\": \"$(escape "$3")\"}")
  else
    printf '%-6s  %s%s\n' "$1" "$2" "${3:+  ($3)}"
  fi
}

check_containers() {
  local service id
  while read -r service; do
    id=$(newest_container "$service")
    if [[ -z $id ]]; then
      report FAILED "container $service is healthy" "there is none"
    else
      check_container "$service" "$id"
    fi
  done < <(docker compose config --services | sort)
}

check_container() {  # SERVICE ID
  local state words
  state=$(docker inspect --format '{{.State.Status}} {{with .State.Health}}{{.Status}}{{end}}' "$2")
  if [[ $state == "running healthy" ]]; then
    report ok "container $1 is healthy" ""
  else
    words=$(docker logs --tail 8 "$2" 2>&1 | cut -c 1-500)
    report FAILED "container $1 is healthy" "$state; exit code $(last_exit_code "$2"); its last words: $words"
  fi
}

last_exit_code() {  # ID: also where Docker has started it again meanwhile
  local code
  code=$(docker events --since 10m --until "$(date +%s)" --filter "container=$1" --filter event=die \
    --format '{{index .Actor.Attributes "exitCode"}}' | tail -n 1)
  [[ -n $code ]] || code=$(docker inspect --format '{{.State.ExitCode}}' "$1")
  echo "$code"
}

newest_container() {  # SERVICE: while a deploy goes on there are two backends
  local ids
  ids=$(docker compose ps --all --quiet "$1")
  # shellcheck disable=SC2086 # one word an id
  [[ -z $ids ]] || docker inspect --format '{{.Created}} {{.Id}}' $ids | sort | tail -n 1 | cut -d ' ' -f 2
}

check_http() {  # NAME URL [CURL OPTIONS…]
  local name=$1 url=$2 answer
  shift 2
  answer=$(curl -sS -m 10 -o /dev/null -w '%{http_code}' "${trust[@]}" "$@" "$url" 2>&1) || true
  if [[ $answer == 200 ]]; then report ok "$name" "200"; else report FAILED "$name" "$url: $answer"; fi
}

published() {  # PORT of the frontend's container -> where Compose published it
  docker compose port frontend "$1" 2>/dev/null | sed 's/^0\.0\.0\.0:/127.0.0.1:/' || true
}

database_of() {  # VARIABLE -> the Redis database that the environment names
  docker compose config | sed -n "s|^ *$1: .*/\([0-9][0-9]*\)\"\{0,1\}\$|\1|p" | head -n 1
}

check_inside() {  # queues, Redis databases, round trips: asked from inside the backend
  local ok name detail output errors
  errors=$(mktemp)
  if ! output=$(docker exec "$(newest_container backend)" python manage.py smoke \
    --broker-database "$(database_of CELERY_BROKER_URL)" \
    --result-database "$(database_of CELERY_RESULT_BACKEND)" 2>"$errors"); then
    report FAILED "queues are served" "$(tail -n 5 "$errors")"
    rm -f "$errors"
    return
  fi
  rm -f "$errors"
  while IFS=$'\t' read -r ok name detail; do
    report "$ok" "$name" "$detail"
  done <<<"$output"
}

main() {
  while [[ $# -gt 0 ]]; do
    case $1 in
      --json) json=1 ;;
      -h | --help) usage; exit 0 ;;
      -*) usage >&2; exit 64 ;;
      *) base=${1%/} ;;
    esac
    shift
  done
  local host
  if [[ -z $(docker compose ps --all --quiet) ]]; then
    echo "smoke-test.sh: nothing runs here: start it with 'docker compose up -d --wait'" >&2
    exit 1
  fi
  if [[ -z $base ]]; then
    base=http://$(published 8080)
    if docker compose exec -T frontend test -e /etc/nginx/tls/fullchain.pem </dev/null 2>/dev/null; then
      # By address, not by name; whether the certificate is still good is the detector's to say.
      base=https://${base#http://} trust=(--insecure)
    fi
  fi
  host=$(docker compose config | sed -n 's/^ *ALLOWED_HOSTS: *"\{0,1\}\([^,"]*\).*/\1/p' | head -n 1)
  check_containers
  check_http "/health/ behind a proxy" "http://$(published 8081)/health/" \
    -H "Host: $host" -H "X-Forwarded-Proto: https"
  check_http "the page" "$base/app"
  check_http "the API through the frontend" "$base/api/v1/health/"
  check_inside
  if ((json)); then
    local IFS=,
    printf '{"ok": %s, "checks": [%s]}\n' "$([[ $failed == 0 ]] && echo true || echo false)" "${lines[*]}"
  fi
  exit "$failed"
}

main "$@"
