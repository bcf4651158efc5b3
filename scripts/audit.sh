#!/usr/bin/env bash
# What needs a network or the whole history, and so is no gate of check.sh.
#
#   scripts/audit.sh [packages] [history]     both where none is named
#
#   packages   known vulnerabilities in what uv.lock puts into the image (pip-audit, by osv.dev)
#   history    secrets in any commit of this clone (kingfisher)
#
# Exit codes: 0 nothing was found; 1 something was, or an audit failed; 64 there is no such audit.
set -euo pipefail

# shellcheck source=lib/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib/environment.sh"

audit_packages() {
  local list status=0
  list=$(mktemp)
  "$uv" export --quiet --project backend --frozen --no-dev --no-emit-project --format requirements-txt \
    --output-file "$list" >/dev/null &&
    "$uv" run --quiet --project backend --isolated --frozen --only-group audit \
      pip-audit --strict --vulnerability-service osv --disable-pip --require-hashes --requirement "$list" ||
    status=$?
  rm -f "$list"
  return "$status"
}

audit_history() { find_secrets --git-history full .git; }

main() {
  local name uv failed=()
  case ${1:-} in
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  esac
  for name in "$@"; do
    [[ $name == packages || $name == history ]] || { say "audit.sh: there is no audit $name"; exit 64; }
  done
  make_environment --frozen
  uv=$(find_uv "$python")
  cd "$root"
  [[ $# -gt 0 ]] || set -- packages history
  for name in "$@"; do
    if "audit_$name"; then say "ok      $name"; else say "FAILED  $name"; failed+=("$name"); fi
  done
  [[ ${#failed[@]} -eq 0 ]] || fail "failed: ${failed[*]}"
}

main "$@"
