# What the operator's scripts share: words, questions, .env, a lock. Sourced after `cd` to the root.
# shellcheck shell=bash disable=SC2034 # read by those who source this file

dry_run=0 assume_yes=0
readonly state=${EATFIT24_STATE:-.state} # what scripts remember between runs; git ignores it

compose() { docker compose --progress quiet "$@"; }

say() { printf '%s\n' "$*"; }

warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
  warn "$@"
  exit 1
}

usage() { # prints the head comment of the script
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "scripts/${0##*/}"
}

misused() {
  warn "$@"
  usage >&2
  exit 64
}

step() { # WORDS — COMMAND…: says what is done, and does it unless this is a dry run
  local words=$1
  shift
  if ((dry_run)); then
    say "would: $words"
  else
    say "$words"
    "$@"
  fi
}

confirm() { # QUESTION: goes on only after a yes
  ((dry_run || assume_yes)) && return
  [[ -t 0 ]] || fail "nobody is there to answer; say --yes if it shall be done: $1"
  local answer
  read -r -p "$1 [yes/no] " answer
  [[ $answer == yes ]] || fail "nothing was changed"
}

setting() { # NAME [DEFAULT]: the value in .env, as Compose reads it: the last one, unquoted
  local line value=''
  while IFS= read -r line; do
    [[ $line =~ ^[[:space:]]*(export[[:space:]]+)?$1=(.*)$ ]] || continue
    value=${BASH_REMATCH[2]}
    if [[ $value =~ ^\'([^\']*)\' || $value =~ ^\"([^\"]*)\" ]]; then
      value=${BASH_REMATCH[1]}
    else
      value=${value%%[[:space:]]#*}
      value=${value%"${value##*[![:space:]]}"}
    fi
  done < <(cat .env 2>/dev/null)
  printf '%s' "${value:-${2:-}}"
}

need() { # COMMAND PACKAGE WHY
  command -v "$1" >/dev/null 2>&1 || fail "$1 is missing, and $3 (Debian: apt-get install $2)"
}

take_lock() { # NAME: one at a time; the lock ends with the process
  mkdir -p "$state"
  exec {lock_descriptor}>"$state/$1.lock"
  flock --nonblock "$lock_descriptor" || fail "another ${1} runs on this machine; wait until it has ended"
}

replace_file() { # FILE < NEW CONTENT: atomically, with the mode and owner that it had
  local file=$1 fresh
  fresh=$(mktemp "$(dirname -- "$file")/.$(basename -- "$file").XXXXXX")
  if [[ -e $file ]]; then
    chmod --reference="$file" "$fresh"
    chown --reference="$file" "$fresh" 2>/dev/null || true
  fi
  cat >"$fresh"
  sync "$fresh"
  mv -f "$fresh" "$file"
}

json_string() { # TEXT: quoted
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\t'/ }
  printf '"%s"' "${text//[[:cntrl:]]/}"
}
