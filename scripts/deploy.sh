#!/usr/bin/env bash
# Puts a release into service without a failed request; rolls back by itself if anything fails.
#
#   scripts/deploy.sh [--dry-run] [RELEASE]     RELEASE is the commit of this clone where it is not named
#
# Image (pulled from IMAGE_REPOSITORY, or built from the commit), checks, backup, migrations, a new
# backend beside the old one until it is healthy and answers, the frontend moves over, workers one
# after the other, smoke test, and the old backend goes. RELEASE in .env changes only at the end.
# Interrupted or failed on the way, the former release serves and .env names it.
#
# Exit codes: 0 RELEASE serves; 1 it does not, and the former one does; 64 wrong arguments.
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=lib/operator.sh
source scripts/lib/operator.sh
# shellcheck source=lib/releases.sh
source scripts/lib/releases.sh
# shellcheck source=lib/secrets.sh
source scripts/lib/secrets.sh

release='' former='' started='' workers_moved=0 settled=0

get_image() {
  if have_image "$release"; then
    say "image $repository:$release is here"
    return
  fi
  if [[ -n $(setting IMAGE_REPOSITORY) ]] && docker pull --quiet "$repository:$release"; then
    return
  fi
  git cat-file -e "$release^{commit}" 2>/dev/null ||
    fail "there is no image $repository:$release, and no commit $release to build it from"
  say "building $repository:$release from the commit"
  git archive "$release" | docker build --quiet --tag "$repository:$release" --file backend/Dockerfile \
    --target production --build-arg RELEASE="$release" - >/dev/null
}

undo() { # whatever stage was reached: the former release serves again
  local status=$?
  ((settled)) && exit "$status"
  trap '' INT TERM
  warn "this deploy failed; $current goes on"
  point_frontend_at "$former"
  if ((workers_moved)); then
    warn "the workers go back to $current"
    move_workers_to "$current" || warn "not all workers are back: see scripts/smoke-test.sh"
  fi
  remove_backends_but "$former"
  point_frontend_at
  rm -f "$state/deploying"
  warn "rolled back: $current serves, and .env names it; migrations of $release that were applied stay"
  exit 1
}

start_all() { # nothing serves yet, so there is nothing to move over from
  say "nothing runs yet: starting all of $release"
  compose_as "$release" up --detach --wait db
  let_env_in
  compose_as "$release" up --detach --no-build --wait ||
    fail "$release does not start: RELEASE=$release scripts/smoke-test.sh tells what is wrong"
  manage_as "$release" release "$release" >/dev/null
  RELEASE=$release scripts/smoke-test.sh || fail "the smoke test of $release fails"
  settle_on "$release" "$(backend_of "$release")"
  scripts/backup.sh # the next deploy asks for one
  say "$release serves"
}

main() {
  local began=$SECONDS
  while [[ $# -gt 0 ]]; do
    case $1 in
      --dry-run) dry_run=1 ;;
      -h | --help) usage; exit 0 ;;
      -*) misused "what is $1?" ;;
      *) release=$1 ;;
    esac
    shift
  done
  [[ -n $release ]] || release=$(git rev-parse --short=12 HEAD) || fail "this is no clone: name the RELEASE"
  [[ -r .env ]] || fail ".env is missing: cp .env.example .env, and fill it in"
  former=$(backend_of "$current")
  say "$project: from $current to $release"
  if ((dry_run)); then
    have_image "$release" || say "would: get the image $repository:$release"
    say "would: check, back up, migrate, start a backend of $release beside ${former:-none}," \
      "would: move the frontend over, then the workers, run the smoke test, and write RELEASE=$release into .env"
    exit
  fi
  take_lock deploy
  get_image
  if [[ -z $former && -z $(backends) ]]; then
    scripts/pre-deploy-check.sh --first "$release"
    start_all
    exit
  fi
  [[ -n $former ]] || fail "the backend that runs is not of $current, which .env names: scripts/rollback.sh $current"
  scripts/pre-deploy-check.sh "$release"
  if [[ $release == "$current" ]]; then
    say "$release serves already"
    compose up --detach --no-build --wait
    exit
  fi
  scripts/backup.sh
  trap undo EXIT
  trap 'exit 130' INT TERM
  mkdir -p "$state"
  printf '%s %s\n' "$current" "$release" >"$state/deploying"
  say "applying migrations"
  manage_as "$release" migrate --noinput --verbosity 1
  say "starting a backend of $release beside $former"
  start_backend "$release"
  say "the frontend moves over to $started"
  point_frontend_at "$started"
  say "the workers follow, each when its jobs are done"
  workers_moved=1
  move_workers_to "$release"
  RELEASE=$release scripts/smoke-test.sh
  settled=1
  settle_on "$release" "$started"
  remove_old_images
  say "$release serves, after $((SECONDS - began)) s"
}

main "$@"
