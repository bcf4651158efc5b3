#!/usr/bin/env bash
# The one way in: validates the environment, prepares what the role needs, then becomes the
# command. The role is told from the command's base name and, for celery, its own words.
#
#   entrypoint.sh gunicorn …        validate; wait for the database; migrate where asked; serve
#   entrypoint.sh celery … worker   validate; wait for the schema; consume
#   entrypoint.sh celery … beat     the same; schedule
#   entrypoint.sh anything else     run it as it is
#
# Exit codes: 78 the environment is wrong; 1 what was waited for did not come.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}

usage() {
  sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

celery_subcommand() {  # the first word that is neither a global option nor its value
  while [[ $# -gt 0 ]]; do
    case $1 in
      -A | --app | -b | --broker | --result-backend | --loader | --config | --workdir) shift ;;
      -*) ;;
      *) printf '%s\n' "$1"; return ;;
    esac
    shift || break
  done
}

role_of() {
  case ${1##*/} in
    gunicorn) echo web ;;
    celery)
      case $(celery_subcommand "${@:2}") in
        worker) echo worker ;;
        beat) echo beat ;;
      esac ;;
  esac
}

unset_empty() {  # Compose passes "" for what .env leaves out; libraries would try to read it
  local name
  while read -r name; do
    [[ -n ${!name} ]] || unset "$name"
  done < <(compgen -e)
}

main() {
  case ${1:-} in
    "" | -h | --help) usage; [[ $# -gt 0 ]] && exit 0 || exit 64 ;;
  esac
  local role
  role=$(role_of "$@")
  unset_empty
  cd "$here/backend"
  if [[ -n $role ]]; then
    "$python" -m config.contract check "$role" "$@"
    # What the health check ends when it has failed too often; nothing it noted about an
    # earlier process holds for this one.
    local runtime=${RUNTIME_DIR:-/tmp}
    mkdir -p "$runtime"
    rm -f "$runtime"/{was-healthy,failures,heartbeat}
    echo $$ >"$runtime/pid"
    "$python" manage.py prepare "$role"
  fi
  if [[ $role == web ]]; then
    set -- "$1" --config "$here/gunicorn_config.py" "${@:2}"
  elif [[ -n $role ]]; then
    # Django's checks would import the whole HTTP API into Celery; the backend has run them.
    export SKIP_CHECKS=1 PYTHONPATH=$here/backend # for click_repl.py
  fi
  if [[ $role == worker ]]; then
    # Workers need not know of each other: the rows say who does what.
    set -- "$@" --without-gossip --without-mingle --without-heartbeat
    if [[ ${CELERY_WORKER_AUTOSCALER:-} == 1 ]]; then  # the one option that no setting holds
      set -- "$@" --autoscale "$CELERY_WORKER_AUTOSCALER_MAX,$CELERY_WORKER_AUTOSCALER_MIN"
    fi
  fi
  exec "$@"
}

main "$@"
