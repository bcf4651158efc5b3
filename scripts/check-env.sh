#!/usr/bin/env bash
# May the processes start with this file? The same validation as the entrypoint's, on a .env file.
#
#   scripts/check-env.sh [FILE]     FILE is .env where it is not named
#
# Exit code 0: yes; 78: no, with every wrong variable, what it got and what it takes; 66: no such
# file. Uses Python where it is, else the image.
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
  docker run --rm --network none --user 0 --volume "$file:/env:ro" \
    "${project:-eatfit24}-backend:${release:-dev}" python -m config.contract check-file /env
fi
[[ -t 1 ]] && echo "$file: may be used" || true
