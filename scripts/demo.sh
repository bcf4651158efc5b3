#!/usr/bin/env bash
# The whole system on this machine without Docker: PostgreSQL, Redis, the sandbox, Gunicorn, two
# Celery workers and beat. Needs Python 3.11 or newer; elsewhere than Linux x86-64 with Python
# 3.11 or 3.12 also a redis-server.
#
#   scripts/demo.sh [--port 8000] [--data DIR] [--check]
#
#   --port N     where the page and the API listen (127.0.0.1)
#   --data DIR   where the data stays between runs (.demo)
#   --check      start everything, let a meal go in and the diary count it, stop
#
# Exit code 0 if all went well (or Ctrl-C was pressed), else not 0 with one line that says why.
set -euo pipefail

case " $* " in
  *" --help "* | *" -h "*) sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
# shellcheck source=lib/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/environment.sh"

make_environment
data=() argument=
for argument in "$@"; do  # a relative --data is relative to where the command was given
  if [[ ${previous:-} == --data ]]; then argument=$(realpath -m -- "$argument"); fi
  data+=("$argument")
  previous=$argument
done
cd "$root/backend"
# shellcheck disable=SC2154 # set by make_environment
exec "$python" -m sandbox.demo "${data[@]}"
