#!/usr/bin/env bash
# What share of the code the tests run; fails below the floor in backend/pyproject.toml.
#
#   scripts/coverage.sh [--since COMMIT] [PYTEST ARGUMENTS]
#
#   --since COMMIT   fails also where the floor is lower than it was at COMMIT: it only rises
#
# Counts lines and branches in apps/ and config/, in the tests' own processes and in those that they
# start, except in a container or where they are killed. All tests but those on the engine are run,
# where no others are named. The report is in backend/.coverage (`coverage report`, `coverage html`).
#
# Exit codes: 0 at or above the floor; 1 a test failed; 2 below the floor; 3 the floor was lowered;
# 64 wrong arguments.
set -euo pipefail

# shellcheck source=lib/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/environment.sh"

floor_at() {  # COMMIT, or nothing for the work tree; 0 where there was none yet
  local text
  if [[ -n $1 ]]; then text=$(git show "$1:backend/pyproject.toml"); else text=$(<backend/pyproject.toml); fi
  "$python" -c '
import sys, tomllib

tools = tomllib.loads(sys.stdin.read())["tool"]
print(tools.get("coverage", {}).get("report", {}).get("fail_under", 0))
' <<<"$text"
}

main() {
  local since='' now former
  case ${1:-} in
    -h | --help) sed -n '2,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    --since)
      [[ -n ${2:-} ]] || { say "coverage.sh: --since takes a COMMIT"; exit 64; }
      since=$2
      [[ ! $since =~ ^0+$ ]] || since=HEAD^ # so GitHub calls what was before a branch's first push
      shift 2
      ;;
  esac
  make_environment
  cd "$root"
  if [[ -n $since ]]; then
    now=$(floor_at '') former=$(floor_at "$since")
    if "$python" -c 'import sys; now, former = map(float, sys.argv[1:]); sys.exit(0 if now < former else 1)' "$now" "$former"; then
      say "coverage.sh: the floor is $now, and was $former at $since: it only rises"
      exit 3
    fi
  fi
  [[ $# -gt 0 ]] || set -- -m "not engine" --numprocesses 4 --dist loadgroup
  cd backend
  unset DJANGO_SETTINGS_MODULE
  coverage erase
  coverage run -m pytest "$@"
  coverage combine --quiet
  coverage report --skip-covered --show-missing
}

main "$@"
