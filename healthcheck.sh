#!/usr/bin/env bash
# Is this container's main process at work? No Python is started and no clock is compared.
#
#   healthcheck.sh web         a request through Gunicorn and Django is answered
#   healthcheck.sh heartbeat   the loop of Celery's worker or beat has turned since the last check
#
# Docker does not restart what is unhealthy. So after RUNTIME_DIR/failures has counted
# FAILURES_TO_RESTART failures in a row, the main process is ended, and the restart policy
# starts the container again. A Redis or a PostgreSQL that is away alone ends nobody.
set -euo pipefail

readonly FAILURES_TO_RESTART=6
runtime=${RUNTIME_DIR:-/tmp}

# shellcheck disable=SC2329 # called as $check
answers() {
  local port=${GUNICORN_BIND:-0.0.0.0:8000} status
  exec 3<>"/dev/tcp/127.0.0.1/${port##*:}"
  printf 'GET /health/live/ HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
  read -r -t 3 _ status _ <&3
  [[ $status == 200 ]]
}

# shellcheck disable=SC2329 # called as $check
beats() {
  # Taken away, so that only a living loop can put it back; it does so every 2 s.
  for _ in {1..30}; do
    rm "$runtime/heartbeat" && return
    sleep 0.1
  done
  return 1
}

redis_answers() {  # to PING, within 2 s; a demand to log in is an answer too
  local url host port line
  url=${CELERY_BROKER_URL:-$(<"${CELERY_BROKER_URL_FILE:-/dev/null}")}
  [[ $url == redis://* ]] || return 0  # over TLS it cannot be asked from here
  url=${url#*://} url=${url##*@} url=${url%%/*}
  host=${url%:*} port=${url##*:}
  [[ $port != "$url" ]] || port=6379
  exec 4<>"/dev/tcp/$host/$port"
  printf 'PING\r\n' >&4
  read -r -t 2 line <&4
  [[ $line == +PONG* || $line == -NOAUTH* ]]
}

database_answers() {  # to a question about TLS, within 2 s: "S" or "N", no log-in needed
  local host=${POSTGRES_HOST:-db} answer
  [[ $host != /* ]] || return 0  # a socket cannot be asked from here
  exec 4<>"/dev/tcp/$host/${POSTGRES_PORT:-5432}"
  printf '\x00\x00\x00\x08\x04\xd2\x16\x2f' >&4
  read -r -t 2 -n 1 answer <&4
  [[ $answer == [SN] ]]
}

forget_failures() { rm -f "$runtime/failures"; }

case ${1:-} in
  web) check=answers ;;
  heartbeat) check=beats ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 64 ;;
esac

# Counted before it is known: a check that hangs is cut off by Docker, and has failed as well.
failures=0
[[ -r $runtime/failures ]] && failures=$(<"$runtime/failures")
failures=$((failures + 1))
echo "$failures" >"$runtime/failures" || true

if ("$check") 2>/dev/null; then
  forget_failures
  touch "$runtime/was-healthy"
  exit 0
fi
if [[ ! -e $runtime/was-healthy ]]; then
  # What has never been healthy is still starting, and its waits have bounds of their own.
  forget_failures
  echo "starting"
elif [[ $check == beats ]] && ! (redis_answers) 2>/dev/null; then
  # Nothing to consume: the loop waits for Redis and will turn again by itself.
  forget_failures
  echo "Redis is away"
elif [[ $check == answers ]] && ! (database_answers) 2>/dev/null; then
  # Requests wait for it, and the check behind them; starting again would not help.
  forget_failures
  echo "PostgreSQL is away"
else
  echo "failure $failures of $FAILURES_TO_RESTART in a row"
  if ((failures >= FAILURES_TO_RESTART)); then
    forget_failures
    echo "ending the main process"
    kill -KILL "$(<"$runtime/pid")"
  fi
fi
exit 1
