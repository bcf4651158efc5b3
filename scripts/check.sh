#!/usr/bin/env bash
# What can be said of the code without running it. Each gate is independent of the others.
#
#   scripts/check.sh [GATE…]     all gates where none is named
#   scripts/check.sh --list      their names
#
# Exit codes: 0 all passed; 1 one failed; 64 there is no such gate. `compose` needs docker compose
# (but no engine), and is skipped by name without it; REQUIRE_ENGINE=1 makes that a failure.
set -euo pipefail

# shellcheck source=lib/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/environment.sh"

readonly gates=(
  format lint types imports migrations migration-rules settings environment compose lock compile shell
  workflows secrets
)
readonly SKIPPED=75
failed=()

# Each starts in backend/, and says on its output what is wrong.

gate_format() { ruff format --check .; }

gate_lint() { ruff check . ../gunicorn_config.py; }

gate_types() { mypy; }

gate_imports() { lint-imports; }

gate_migrations() { python manage.py makemigrations --check --dry-run --skip-checks; }

gate_migration-rules() { python manage.py migrations lint; }

gate_settings() {  # Django's own checks and those of apps.operations.clocks, as production is set
  SECRET_KEY=$(python -c 'import secrets; print(secrets.token_hex(32))') PUBLIC_URL=https://localhost \
    DJANGO_SETTINGS_MODULE=config.settings.production python manage.py check --deploy --fail-level WARNING
}

gate_environment() {  # .env.example is wrong for what an operator has to fill in, and for nothing else
  local wrong
  python -m config.contract check-file ../.env.local || return
  wrong=$(python -m config.contract check-file ../.env.example 2>&1 | grep -v -e 'got nothing' -e '^The environment') || true
  [[ -z $wrong ]] || { echo "$wrong" && return 1; }
}

gate_compose() {
  local files merged
  if [[ ${REQUIRE_ENGINE:-} != 1 ]] && ! docker compose version >/dev/null 2>&1; then return "$SKIPPED"; fi
  for files in compose.yml compose.yml:compose.dev.yml; do
    merged=$(cd .. && COMPOSE_FILE=$files docker compose --env-file .env.local config --format json) || return
    python -m apps.operations.compose_rules <<<"$merged" || { echo "in $files" && return 1; }
  done
}

gate_lock() { python -m apps.operations.packages && "$(find_uv python)" lock --check; }

gate_compile() {  # into a directory of its own: what is there may be stale, or somebody else's
  local cache
  cache=$(mktemp -d)
  git ls-files -co --exclude-standard -z -- '*.py' ../gunicorn_config.py |
    PYTHONPYCACHEPREFIX=$cache xargs -0 python -m compileall -q -j 0
  local status=$?
  rm -rf "$cache"
  return "$status"
}

gate_shell() {
  cd ..
  git ls-files -co --exclude-standard -- '*.sh' .ci/run | xargs -P 2 -n 5 shellcheck -x
}

check_schema() { check-jsonschema --builtin-schema "vendor.$1" "${@:2}"; }

gate_workflows() {  # by the schemas that come with check-jsonschema, and by what zizmor knows of attacks
  cd ..
  check_schema github-workflows .github/workflows/*.yml &&
    check_schema dependabot .github/dependabot.yml &&
    check_schema github-issue-forms .github/ISSUE_TEMPLATE/{bug,need}.yml &&
    check_schema github-issue-config .github/ISSUE_TEMPLATE/config.yml &&
    zizmor --offline --quiet --persona pedantic .
}

gate_secrets() {
  local files
  cd ..
  mapfile -d '' files < <(git ls-files -co --exclude-standard -z)
  find_secrets --git-history none "${files[@]}"
}

pass() {  # GATE
  local started=$SECONDS output status=0
  output=$("gate_$1" 2>&1) || status=$?
  case $status in
    0) say "ok      $1 ($((SECONDS - started)) s)" ;;
    "$SKIPPED") say "skipped $1: there is no docker compose" ;;
    *)
      say "FAILED  $1"$'\n'"$output"
      failed+=("$1")
      ;;
  esac
}

main() {
  local name
  case ${1:-} in
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    --list) printf '%s\n' "${gates[@]}"; exit 0 ;;
  esac
  for name in "$@"; do
    [[ " ${gates[*]} " == *" $name "* ]] || { say "check.sh: there is no gate $name: --list names them"; exit 64; }
  done
  make_environment --frozen
  cd "$root/backend"
  # Enough of an environment to import the settings; nothing is connected to.
  export DJANGO_SETTINGS_MODULE=config.settings.test SECRET_KEY=checks-only ALLOWED_HOSTS=localhost \
    PUBLIC_URL=http://localhost POSTGRES_HOST=/nonexistent POSTGRES_PASSWORD=none \
    CELERY_BROKER_URL=redis://none:6379/0 CELERY_RESULT_BACKEND=redis://none:6379/0
  for name in "${@:-${gates[@]}}"; do pass "$name"; done
  [[ ${#failed[@]} -eq 0 ]] || fail "failed: ${failed[*]}"
}

main "$@"
