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
# shellcheck disable=SC2154 # both are set by make_environment
PYTHONPATH=$root/backend exec "$python" -m sandbox.demo "$@"
