#!/usr/bin/env bash
# What can be said of the code without running it: format, lint, types, import contracts,
# migrations, lock file, shell.
#
#   scripts/check.sh
set -euo pipefail

case ${1:-} in
  -h | --help) sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
# shellcheck source=lib/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/environment.sh"

failed=()

gate() {  # NAME COMMAND…
  local name=$1 started=$SECONDS output
  shift
  if output=$("$@" 2>&1); then
    say "ok      $name ($((SECONDS - started)) s)"
  else
    say "FAILED  $name" "$output"
    failed+=("$name")
  fi
}

make_environment
cd "$root/backend"
# Enough of an environment to import the settings; nothing is connected to.
export DJANGO_SETTINGS_MODULE=config.settings.test SECRET_KEY=checks-only ALLOWED_HOSTS=localhost \
  PUBLIC_URL=http://localhost POSTGRES_HOST=/nonexistent POSTGRES_PASSWORD=none \
  CELERY_BROKER_URL=redis://none:6379/0 CELERY_RESULT_BACKEND=redis://none:6379/0

gate format ruff format --check .
gate lint ruff check . ../gunicorn_config.py
gate types mypy
gate "import contracts" lint-imports
gate migrations python manage.py makemigrations --check --dry-run --skip-checks
gate "lock file" "$(find_uv python)" lock --check --quiet
cd "$root"
gate shell bash -c 'git ls-files -co --exclude-standard -- "*.sh" .ci/run | xargs shellcheck -x'

[[ ${#failed[@]} -eq 0 ]] || fail "failed: ${failed[*]}"
