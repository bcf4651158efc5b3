#!/usr/bin/env bash
# An earlier commit's tests on this tree's schema: does the release before this one go on working
# while this one's migrations are applied, as in every deploy?
#
#   scripts/earlier-tests.sh [COMMIT] [PYTEST ARGUMENTS]     COMMIT is the one before HEAD where it is not named
#
# Checks the commit out into a directory that goes away afterwards, with the packages that it locked.
# Its code and tests run against databases that this tree's migrations made. Left out where no tests
# are named: those on the engine, and those of deployment, which make databases of their own.
#
# Exit codes: 0 they pass; 1 one fails, or there is no such commit.
set -euo pipefail

# shellcheck source=lib/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/environment.sh"

earlier=''

remove_tree() { [[ -z $earlier ]] || rm -rf -- "$earlier"; }

main() {
  local commit=HEAD^ uv
  case ${1:-} in
    -h | --help) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  esac
  if [[ $# -gt 0 ]]; then
    commit=$1
    shift
  fi
  [[ ! $commit =~ ^0+$ ]] || commit=HEAD^ # so GitHub calls what was before a branch's first push
  cd "$root"
  git cat-file -e "$commit^{commit}" 2>/dev/null || fail "there is no commit $commit in this clone"
  commit=$(git rev-parse "$commit^{commit}")
  make_environment
  # shellcheck disable=SC2154 # set by make_environment
  uv=$(find_uv "$python")
  earlier=$(mktemp -d)
  trap remove_tree EXIT
  # As a work tree of git would be, but nothing is left behind in this one if it is killed.
  git archive "$commit" | tar -x -C "$earlier"
  git -C "$earlier" init --quiet
  mkdir "$earlier/plugin"
  cp backend/tests/later_schema.py "$earlier/plugin/"
  UV_PROJECT_ENVIRONMENT=$earlier/backend/.venv "$uv" sync --quiet --project "$earlier/backend" --locked --python "$python" ||
    fail "the environment of $commit could not be made"
  say "the tests of ${commit:0:12} on the schema of this tree"
  [[ $# -gt 0 ]] ||
    set -- -m "not engine" --ignore tests/deployment --ignore tests/sandbox --numprocesses 4 --dist loadgroup
  cd "$earlier/backend"
  unset DJANGO_SETTINGS_MODULE
  LATER_BACKEND=$root/backend LATER_PYTHON=$python PYTHONPATH=$earlier/plugin PATH=$earlier/backend/.venv/bin:$PATH \
    "$earlier/backend/.venv/bin/python" -m pytest -p later_schema "$@"
}

main "$@"
