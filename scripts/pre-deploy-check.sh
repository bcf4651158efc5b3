#!/usr/bin/env bash
# May RELEASE be deployed here?
#
#   scripts/pre-deploy-check.sh [--first] [RELEASE]
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
case ${1:-} in
  -h | --help) sed -n '2,4s/^# \{0,1\}//p' "scripts/${0##*/}"; exit 0 ;;
esac
scripts/check-env.sh
docker compose config --quiet
