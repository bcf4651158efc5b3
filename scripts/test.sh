#!/usr/bin/env bash
# Every check and every test. Needs Python 3.11 or newer; PostgreSQL and Redis come along.
#
#   scripts/test.sh [--long] [PYTEST ARGUMENTS]
#
#   --long   for a night: more rounds, longer outages, 2,000 examples of each property, not 50
#
# Tests that need a Docker engine are skipped by name where there is none; REQUIRE_ENGINE=1 makes
# that a failure. With pytest's own arguments, pytest alone is run with them.
set -euo pipefail

case ${1:-} in
  -h | --help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
# shellcheck source=lib/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/environment.sh"

make_environment
if [[ $# -eq 0 || $* == --long ]]; then
  "$root/scripts/check.sh"
  # Most tests wait for processes that start, so more run at once than there are cores.
  set -- "$@" --numprocesses 4 --dist loadgroup
fi
cd "$root/backend"
# The caller's own settings are not what is tested.
unset DJANGO_SETTINGS_MODULE
# shellcheck disable=SC2154 # set by make_environment
exec "$python" -m pytest "$@"
