#!/usr/bin/env bash
# Puts an earlier release back into service, without a failed request.
#
#   scripts/rollback.sh [--dry-run] [RELEASE]    RELEASE is the previous one where it is not named
#
# A deploy that was cut short is undone. Refused where the schema has moved on in a way that RELEASE
# cannot read: then the way is forward, to a release that mends what is wrong.
#
# Exit codes: 0 RELEASE serves; 1 refused or failed; 64 wrong arguments.
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=lib/operator.sh
source scripts/lib/operator.sh
# shellcheck source=lib/releases.sh
source scripts/lib/releases.sh

release=''

previous() {
  if [[ -r $state/deploying ]]; then
    cut -d ' ' -f 1 "$state/deploying"
  else
    recent_releases | { grep -vx -- "$current" || true; } | head -n 1
  fi
}

refuse_if_unreadable() { # asks the code that made the schema what the earlier code cannot read
  local newest blocking
  newest=$current
  [[ ! -r $state/deploying ]] || newest=$(cut -d ' ' -f 2 "$state/deploying")
  [[ $newest != "$release" ]] || return 0
  blocking=$(manage_as "$release" migrations known | manage_as "$newest" migrations blocking) ||
    fail "it could not be told whether $release can read the schema"
  [[ -z $blocking ]] || fail "refused: $release cannot read what these migrations made: ${blocking//$'\n'/, };" \
    "go forward instead: deploy a release that mends what is wrong, or restore the backup that the deploy made"
}

main() {
  local began=$SECONDS started=''
  while [[ $# -gt 0 ]]; do
    case $1 in
      --dry-run) dry_run=1 ;;
      -h | --help) usage; exit 0 ;;
      -*) misused "what is $1?" ;;
      *) release=$1 ;;
    esac
    shift
  done
  take_lock deploy
  release=${release:-$(previous)}
  [[ -n $release ]] || fail "there is no earlier release to go back to: see $state/releases"
  have_image "$release" || fail "the image $repository:$release is not here any more; the last $KEPT_RELEASES stay"
  say "$project: from $current back to $release"
  refuse_if_unreadable
  if ((dry_run)); then
    say "would: start a backend of $release, move the frontend and the workers over, write RELEASE=$release into .env"
    exit
  fi
  start_backend "$release" || {
    remove_backends_but "$(backend_of "$current")"
    point_frontend_at
    fail "$release does not start; $current goes on"
  }
  point_frontend_at "$started"
  say "$release serves again, after $((SECONDS - began)) s; the workers follow"
  move_workers_to "$release"
  settle_on "$release" "$started"
  RELEASE=$release scripts/smoke-test.sh
  say "all of $release serves, after $((SECONDS - began)) s"
}

main "$@"
