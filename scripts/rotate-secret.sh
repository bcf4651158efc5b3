#!/usr/bin/env bash
# Puts a new secret in the place of one, without a failed request.
#
#   scripts/rotate-secret.sh [--emergency] [--dry-run] NAME
#   scripts/rotate-secret.sh --finish [--yes] [--dry-run] NAME
#   scripts/rotate-secret.sh --list [--json]
#
#   NAME         SECRET_KEY, POSTGRES_PASSWORD, TELEGRAM_BOT_TOKEN, TELEGRAM_BOT_API_SECRET,
#                YOOKASSA_SECRET_KEY, OPENROUTER_API_KEY or AI_PROXY_SECRET
#   --finish     the former one is void from here on, and is shown to be
#   --emergency  both at once: it leaked, and who still holds to the former one is turned away
#   --yes        finish before everybody has the new one, without being asked
#   --list       when each was rotated, and which is not finished
#
# A secret of ours is made here. A provider's is asked for, or read from standard input, and tried at
# the provider before anything changes. POSTGRES_PASSWORD is finished in the same call: nobody but our
# own processes has it. Interrupted, the same command goes on.
#
# Exit codes: 0 done; 1 refused or failed, and it says what holds now; 64 wrong arguments.
set -euo pipefail

cd "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=lib/operator.sh
source scripts/lib/operator.sh
# shellcheck source=lib/releases.sh
source scripts/lib/releases.sh
# shellcheck source=lib/secrets.sh
source scripts/lib/secrets.sh

readonly NAMES=(SECRET_KEY POSTGRES_PASSWORD TELEGRAM_BOT_TOKEN TELEGRAM_BOT_API_SECRET
  YOOKASSA_SECRET_KEY OPENROUTER_API_KEY AI_PROXY_SECRET)
# What still believes the former one while the overlap lasts, and for how many seconds somebody may
# hold to it: refresh tokens, initData of a page that is open, updates that Telegram sends again.
readonly -A FALLBACKS=(
  [SECRET_KEY]=SECRET_KEY_FALLBACKS
  [TELEGRAM_BOT_TOKEN]=TELEGRAM_BOT_TOKEN_FALLBACKS
  [TELEGRAM_BOT_API_SECRET]=TELEGRAM_BOT_API_SECRET_FALLBACKS)
readonly -A OVERLAP=([SECRET_KEY]=2592000 [TELEGRAM_BOT_TOKEN]=3600 [TELEGRAM_BOT_API_SECRET]=600)
readonly -A ISSUED_BY=(
  [TELEGRAM_BOT_TOKEN]="Telegram (@BotFather: /revoke)"
  [YOOKASSA_SECRET_KEY]="YooKassa (its cabinet: Integration, API keys)"
  [OPENROUTER_API_KEY]="OpenRouter (its settings: Keys)"
  [AI_PROXY_SECRET]="your proxy")
readonly TRIED_HERE=" SECRET_KEY POSTGRES_PASSWORD TELEGRAM_BOT_TOKEN TELEGRAM_BOT_API_SECRET "

what=rotate emergency=0 json=0 name='' fresh='' staged='' serving='' started='' moving=0

# -- asking ------------------------------------------------------------------------------------

verdict() { # here|there SECRET: believed or refused
  local -a where=(exec -T backend)
  [[ $1 == here ]] || where=(run --rm --no-deps -T celery-worker)
  printf '%s\n' "$2" | compose "${where[@]}" python manage.py try_secret "$1" "$name" | tail -n 1
}

expect() { # here|there SECRET VERDICT WORDS
  local said
  said=$(verdict "$1" "$2") || fail "$name could not be tried; run the same again"
  [[ $said == "$3" ]] || fail "$4"
}

as_tried() { # SECRET: with the database it takes the role as well
  if [[ $name == POSTGRES_PASSWORD ]]; then printf '%s:%s' "$(setting POSTGRES_USER "${ROLES[0]}")" "$1"; else printf '%s' "$1"; fi
}

get_fresh() { # a new value into $fresh
  if [[ -z ${ISSUED_BY[$name]:-} ]]; then
    fresh=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    return
  fi
  if [[ -t 0 ]]; then
    read -r -s -p "The new $name, from ${ISSUED_BY[$name]}: " fresh
    printf '\n'
  else
    read -r fresh || true
  fi
  [[ $fresh =~ ^[!-~]+$ && $fresh != *[\'\\]* ]] || fail "a secret was expected, without spaces, quotes and backslashes; nothing was changed"
  [[ $fresh != "$(setting "$name")" ]] || fail "this is the $name that is in use; nothing was changed"
  if [[ $name == TELEGRAM_BOT_TOKEN && ${fresh%%:*} != "$(setting "$name" | cut -d : -f 1)" ]]; then
    fail "this token is another bot's; nothing was changed"
  fi
}

# -- moving over -------------------------------------------------------------------------------

stage() { # NAME=VALUE…: the .env to be
  staged=$secrets/staged.env
  keep "$staged" "$(env_with "$@")"
  compose run --rm --no-deps -T backend python -m config.contract check-file /dev/stdin <"$staged" ||
    fail "nothing was changed"
}

note_change() { # whoever looks meanwhile knows why containers come and go
  printf '%s %s\n' "$current" "$current" >"$state/deploying"
}

move_backend() { # .env changes once a backend is good with it, and before it serves anybody
  moving=2
  cmp -s "$staged" .env || moving=1
  note_change
  say "starting a backend with the new .env beside $serving"
  COMPOSE_ENV_FILES=$staged start_backend "$current"
  replace_file .env <"$staged"
  moving=2
  [[ $(backends | wc -l) -gt 1 ]] || return 0
  say "the frontend moves over to $started"
  point_frontend_at "$started"
  remove_backends_but "$started"
}

move_rest() {
  local service
  say "the workers follow, each when its jobs are done"
  for service in "${WORKERS[@]}"; do
    [[ -n $(running_as "$current" "$service") ]] || replace_worker "$current" "$service"
  done
  settle "$started"
  rm -f "$state/deploying" "$staged"
  moving=0
}

stop_half_way() {
  local status=$?
  trap '' INT TERM
  if ((moving == 1)); then # nobody was served by the new one yet
    remove_backends_but "$serving"
    point_frontend_at
    if [[ -e $secrets/$name.next ]]; then
      [[ $name != POSTGRES_PASSWORD ]] || close_role "$(other_role "$(setting POSTGRES_USER "${ROLES[0]}")")"
      rm -f "$secrets/$name.next"
    fi
    rm -f "$state/deploying" "$staged"
    warn "nothing was changed: $name is what it was"
  elif ((moving == 2)); then
    warn "half-way: .env says what shall be, and people are served; run the same again to go on"
  fi
  exit "$status"
}

# -- the two halves ----------------------------------------------------------------------------

open_overlap() {
  local old before fallback=${FALLBACKS[$name]:-} how=overlap spare
  local -a changes former
  old=$(setting "$name")
  before=$(as_tried "$old")
  if [[ -e $secrets/$name.next ]]; then
    { read -r fresh && read -r how && read -r before; } <"$secrets/$name.next"
    say "going on with what was cut short"
    [[ $how == overlap ]] || emergency=1
  else
    get_fresh
    if [[ -n ${ISSUED_BY[$name]:-} ]]; then
      say "trying the new $name at ${ISSUED_BY[$name]%% (*}"
      expect there "$fresh" believed "refused by ${ISSUED_BY[$name]}; nothing was changed"
    fi
    ((!emergency)) || how=emergency
  fi
  if [[ $old == "$fresh" ]]; then # .env was replaced before it was cut short
    stage
  else
    changes=("$name=$fresh")
    if [[ -n $fallback ]]; then
      if [[ $how == emergency ]]; then
        changes+=("$fallback=")
      elif [[ $old == *,* ]]; then
        fail "$name holds a comma, so that it cannot stand in $fallback: only --emergency can replace it"
      else
        changes+=("$fallback=$old")
      fi
    fi
    if [[ $name == POSTGRES_PASSWORD ]]; then
      spare=$(other_role "$(setting POSTGRES_USER "${ROLES[0]}")")
      changes+=("POSTGRES_USER=$spare" "POSTGRES_FIRST_PASSWORD=$(setting POSTGRES_FIRST_PASSWORD "$old")")
    fi
    stage "${changes[@]}"
    keep "$secrets/$name.next" "$fresh" "$how" "$before"
    moving=1
    [[ $name != POSTGRES_PASSWORD ]] || open_role "$spare" "$fresh"
  fi
  move_backend
  if [[ $name == POSTGRES_PASSWORD && $how == emergency ]]; then # workers that are cut off do their jobs again
    close_role "$(other_role "$(setting POSTGRES_USER)")"
  fi
  move_rest
  if [[ $name == TELEGRAM_* && -n $(setting TELEGRAM_BOT_API_SECRET) ]]; then
    say "registering the webhook"
    compose exec -T backend python manage.py set_webhook || fail "the webhook is not registered; run the same again"
  fi
  if [[ $TRIED_HERE == *" $name "* ]]; then
    expect here "$(as_tried "$fresh")" believed "the new $name is not believed: this should not be; see scripts/smoke-test.sh"
  fi
  mapfile -t former < <(cat "$secrets/$name.former" 2>/dev/null)
  [[ " ${former[*]} " == *" $before "* ]] || keep "$secrets/$name.former" "${former[@]}" "$before"
  date -u +%Y-%m-%dT%H:%M:%SZ | replace_file "$secrets/$name"
  rm -f "$secrets/$name.next"
  say "$name is the new one"
}

close_overlap() { # the former one is void, and shown to be
  local former fallback=${FALLBACKS[$name]:-}
  local -a all
  mapfile -t all < <(cat "$secrets/$name.former" 2>/dev/null || setting "${fallback:-none}" | tr ',' '\n')
  if [[ -n ${ISSUED_BY[$name]:-} ]]; then
    for former in "${all[@]}"; do
      expect there "$former" refused "the former $name is alive: revoke it at ${ISSUED_BY[$name]}, then: scripts/rotate-secret.sh --finish $name"
    done
  fi
  if [[ -n $fallback && $what == finish ]]; then
    stage "$fallback="
    move_backend
    move_rest
  fi
  [[ $name != POSTGRES_PASSWORD ]] || close_role "$(other_role "$(setting POSTGRES_USER)")"
  if [[ $TRIED_HERE == *" $name "* ]]; then
    for former in "${all[@]}"; do
      expect here "$former" refused "the former $name is still believed: this should not be; see scripts/smoke-test.sh"
    done
  fi
  rm -f "$secrets/$name.former"
  say "the former $name was tried, and is refused"
}

is_open() { # NAME: is a former one still good somewhere?
  local fallback=${FALLBACKS[$1]:-}
  [[ -e $secrets/$1.former || -n $fallback && -n $(setting "$fallback") ]]
}

rotated_at() { cat "$secrets/$1" 2>/dev/null || true; } # NAME

all_have_it_at() { # NAME: when nobody can hold to the former one any more
  date -u -d "$(rotated_at "$1") + ${OVERLAP[$1]:-0} seconds" +%Y-%m-%dT%H:%M:%SZ
}

list() {
  local one at age state_of from lines=()
  for one in "${NAMES[@]}"; do
    at=$(rotated_at "$one") age='' state_of='' from=''
    [[ -z $at ]] || age=$((($(date +%s) - $(date -d "$at" +%s)) / 86400))
    if [[ -e $secrets/$one.next ]]; then
      state_of=interrupted
    elif is_open "$one"; then
      state_of=open
      [[ -z $at ]] || from=$(all_have_it_at "$one")
    fi
    if ((json)); then
      lines+=("{\"name\": \"$one\", \"rotated_at\": $([[ -n $at ]] && json_string "$at" || echo null), \"age_days\": ${age:-null}, \"overlap\": $([[ -n $state_of ]] && json_string "$state_of" || echo null), \"finish_from\": $([[ -n $from ]] && json_string "$from" || echo null)}")
    else
      printf '%-24s  %s%s\n' "$one" "$([[ -n $at ]] && echo "$age days" || echo 'never rotated')" \
        "$(case $state_of in
          interrupted) echo ", cut short: run scripts/rotate-secret.sh $one to go on" ;;
          open) echo ", the former is still good; from ${from:-now} on: scripts/rotate-secret.sh --finish $one" ;;
        esac)"
    fi
  done
  if ((json)); then
    local IFS=,
    printf '[%s]\n' "${lines[*]}"
  fi
}

# -- what is asked for -------------------------------------------------------------------------

refuse_where_it_cannot_be() {
  [[ -n $(setting "$name") ]] || fail "there is nothing to rotate: $name is empty in .env"
  if [[ $name == POSTGRES_PASSWORD && " ${ROLES[*]} " != *" $(setting POSTGRES_USER "${ROLES[0]}") "* ]]; then
    fail "POSTGRES_USER is neither ${ROLES[0]} nor ${ROLES[1]}, which take turns"
  fi
  if [[ -e $state/deploying && $(<"$state/deploying") != "$current $current" ]]; then
    fail "a deploy was cut short: scripts/rollback.sh first"
  fi
  if [[ $what == rotate && $name != POSTGRES_PASSWORD && ! -e $secrets/$name.next ]] && is_open "$name" && ((!emergency)); then
    fail "the former $name is still good: scripts/rotate-secret.sh --finish $name first"
  fi
  if [[ $what == finish && -e $secrets/$name.next ]]; then
    fail "a rotation was cut short: run scripts/rotate-secret.sh $name to go on with it"
  fi
}

tell_what_would_be() {
  if [[ $what == rotate ]]; then
    if [[ -e $secrets/$name.next ]]; then
      say "would: go on with what was cut short"
    elif [[ -n ${ISSUED_BY[$name]:-} ]]; then
      say "would: take the new $name, and try it at ${ISSUED_BY[$name]%% (*}"
    else
      say "would: make a new $name"
    fi
    say "would: start a backend with it beside the one that runs, write it into .env," \
      "move the frontend over, then the workers that have it"
    [[ $name != TELEGRAM_* || -z $(setting TELEGRAM_BOT_API_SECRET) ]] || say "would: register the webhook"
  fi
  if [[ $what == finish || $name == POSTGRES_PASSWORD ]] || ((emergency)); then
    say "would: end the former $name, try it, and expect it to be refused"
  else
    say "would: leave the former $name good until --finish"
  fi
}

main() {
  while [[ $# -gt 0 ]]; do
    case $1 in
      --finish) what=finish ;;
      --list) what=list ;;
      --emergency) emergency=1 ;;
      --json) json=1 ;;
      --yes) assume_yes=1 ;;
      --dry-run) dry_run=1 ;;
      -h | --help) usage; exit 0 ;;
      -*) misused "what is $1?" ;;
      *) [[ -z $name ]] || misused "one secret at a time, and its new value never as an argument"; name=$1 ;;
    esac
    shift
  done
  [[ -r .env ]] || fail ".env is missing: cp .env.example .env, and fill it in"
  if [[ $what == list ]]; then list; exit; fi
  [[ -n $name && " ${NAMES[*]} " == *" $name "* ]] || misused "which secret? ${NAMES[*]}"
  take_lock deploy
  take_lock restore
  refuse_where_it_cannot_be
  if [[ $what == finish ]] && ! is_open "$name"; then
    say "there is no former $name that is still good"
    exit
  fi
  if ((dry_run)); then tell_what_would_be; exit; fi
  serving=$(running_as "$current" backend)
  [[ -n $serving ]] || fail "no backend runs as .env and the Compose files say: scripts/deploy.sh first"
  trap stop_half_way EXIT
  trap 'exit 130' INT TERM
  if [[ $what == rotate ]]; then
    # Of the database's, one that is open was cut short before its end.
    if [[ $name != POSTGRES_PASSWORD || -e $secrets/$name.next ]] || ! is_open "$name"; then open_overlap; fi
    if ((!emergency)) && [[ $name != POSTGRES_PASSWORD ]]; then
      [[ -z ${ISSUED_BY[$name]:-} ]] || say "now void the former one at ${ISSUED_BY[$name]}"
      say "to end the former one, from $(all_have_it_at "$name") on: scripts/rotate-secret.sh --finish $name"
      exit
    fi
  elif [[ -n $(rotated_at "$name") && $(date +%s) -lt $(date -d "$(all_have_it_at "$name")" +%s) ]]; then
    confirm "Until $(all_have_it_at "$name") somebody may hold to the former $name, and would be turned away. Finish now?"
  fi
  close_overlap
}

main "$@"
