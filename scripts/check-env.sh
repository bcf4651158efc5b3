#!/usr/bin/env bash
# May the processes start with this file? The same validation as the entrypoint's, on a .env file.
#
#   scripts/check-env.sh [FILE]     FILE is .env where it is not named
#
# Exit code 0: yes; 78: no, with every wrong variable, what it got and what it takes; 66: no such
# file; 69: neither Python 3.11 nor the image is here to ask.
set -euo pipefail

case ${1:-} in
  -h | --help) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  -*) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 64 ;;
esac

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
file=${1:-$root/.env}
if [[ ! -r $file || -d $file ]]; then
  echo "check-env.sh: $file: no such file, or it cannot be read" >&2
  exit 66
fi
file=$(realpath -- "$file")

if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  (cd "$root/backend" && exec python3 -m config.contract check-file "$file")
else
  value() { sed -n "s/^$1=//p" "$file" | tail -n 1; }
  project=$(value COMPOSE_PROJECT_NAME) release=$(value RELEASE)
  image=${project:-eatfit24}-backend:${release:-dev}
  if ! docker image inspect "$image" >/dev/null 2>&1; then
    echo "check-env.sh: Python 3.11 or newer is missing (Debian: apt-get install python3), and so is the image $image" >&2
    exit 69
  fi
  docker run --rm --network none --user 0 --volume "$file:/env:ro" "$image" python -m config.contract check-file /env
fi
[[ -t 1 ]] && echo "$file: may be used" || true
