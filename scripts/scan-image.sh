#!/usr/bin/env bash
# Looks for known vulnerabilities in images; fails on a high or critical one that has a fix.
#
#   scripts/scan-image.sh [IMAGE…]     all images of compose.yml where none is named
#
# An image that is not on this machine is pulled. Needs a Docker engine, and a network for the
# vulnerability database. The scanner sees a copy of the image and nothing else.
#
# Exit codes: 0 none was found; 1 some were, or a scan failed; 64 wrong arguments.
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=lib/operator.sh
source scripts/lib/operator.sh

readonly scanner=anchore/grype:v0.118.0@sha256:8a93fc48da96bd6ec5981279d099b69de11541dc68fdf222fb9161f8ff284af7
copy=''

forget_copy() { [[ -z $copy ]] || rm -rf -- "$copy"; }

scan() { # IMAGE
  docker image inspect "$1" >/dev/null 2>&1 || docker pull --quiet "$1" >/dev/null || return
  say "scanning $1"
  docker save --output "$copy/image.tar" "$1" || return
  # As who owns the copy: root without capabilities could not read it. The database is fetched once.
  docker run --rm --user "$(id -u):$(id -g)" --cap-drop ALL --security-opt no-new-privileges \
    --volume "$copy:/scan" --env GRYPE_DB_CACHE_DIR=/scan/database --env TMPDIR=/scan \
    "$scanner" docker-archive:/scan/image.tar --only-fixed --fail-on high --quiet
}

main() {
  local image images failed=()
  case ${1:-} in
    -h | --help) usage; exit 0 ;;
    -*) misused "what is $1?" ;;
  esac
  images=("$@")
  if [[ $# -eq 0 ]]; then
    mapfile -t images < <(docker compose --env-file .env.local --file compose.yml config --images | sort -u)
    [[ ${#images[@]} -gt 0 ]] || fail "compose.yml names no images: is there a docker compose?"
  fi
  copy=$(mktemp -d)
  trap forget_copy EXIT
  for image in "${images[@]}"; do
    scan "$image" || failed+=("$image")
  done
  [[ ${#failed[@]} -eq 0 ]] || fail "not clean: ${failed[*]}"
  say "no high or critical vulnerability that has a fix"
}

main "$@"
