#!/usr/bin/env bash
# Runs what the workflows run on a server, over ssh, with a host key that is known beforehand.
#
#   scripts/on-server.sh deploy COMMIT        check out the commit there, and scripts/deploy.sh its release
#   scripts/on-server.sh restore-rehearsal    scripts/restore-rehearsal.sh --offsite
#   scripts/on-server.sh secrets              scripts/rotate-secret.sh --list --json
#
# From the environment: SERVER (user@host, or ssh://user@host:port), SERVER_DIRECTORY (the clone there,
# else /opt/eatfit24), SERVER_HOST_KEY (lines of known_hosts), SERVER_KEY (the private key to log in
# with). What was said also goes to GITHUB_STEP_SUMMARY, where that is set.
#
# Exit codes: what the command over there ended with; 255 ssh failed; 64 wrong arguments or environment.
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=lib/operator.sh
source scripts/lib/operator.sh

keys=''

forget_keys() { [[ -z $keys ]] || rm -rf -- "$keys"; }

run_there() { # COMMAND
  umask 077
  keys=$(mktemp -d)
  trap forget_keys EXIT
  printf '%s\n' "$SERVER_KEY" >"$keys/key"
  printf '%s\n' "$SERVER_HOST_KEY" >"$keys/known_hosts"
  ssh -i "$keys/key" -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes \
    -o UserKnownHostsFile="$keys/known_hosts" -o GlobalKnownHostsFile=/dev/null -o ServerAliveInterval=30 \
    "$SERVER" "set -e; cd ${SERVER_DIRECTORY:-/opt/eatfit24}; $1" </dev/null
}

summarise() { # TITLE: passes its input on, and keeps it for the run's page
  if [[ -z ${GITHUB_STEP_SUMMARY:-} ]]; then
    cat
    return
  fi
  printf '### %s\n\n```\n' "$1" >>"$GITHUB_STEP_SUMMARY"
  tee -a "$GITHUB_STEP_SUMMARY"
  printf '```\n' >>"$GITHUB_STEP_SUMMARY"
}

main() {
  local command=${1:-} name commit=${2:-}
  case $command in
    -h | --help) usage; exit 0 ;;
    deploy)
      [[ $# -eq 2 && $commit =~ ^[0-9a-f]{40}$ ]] || misused "deploy takes a COMMIT, all 40 digits of it"
      command="git fetch --quiet --tags origin; git checkout --quiet --detach $commit; scripts/deploy.sh ${commit:0:12}"
      ;;
    restore-rehearsal) command='scripts/restore-rehearsal.sh --offsite' ;;
    secrets) command='scripts/rotate-secret.sh --list --json' ;;
    *) misused "takes deploy, restore-rehearsal or secrets" ;;
  esac
  for name in SERVER SERVER_HOST_KEY SERVER_KEY; do
    [[ -n ${!name:-} ]] || misused "$name is missing in the environment"
  done
  [[ ${SERVER_DIRECTORY:-/} =~ ^[A-Za-z0-9/._-]+$ && $SERVER != -* ]] || misused "SERVER or SERVER_DIRECTORY is no such thing"
  if [[ $1 == secrets ]]; then
    run_there "$command"
  else
    run_there "$command" 2>&1 | summarise "$1${commit:+ ${commit:0:12}} on ${SERVER##*@}"
  fi
}

main "$@"
