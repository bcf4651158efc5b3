# The development environment of backend/, made with uv: sourced by demo.sh, test.sh, check.sh.
# shellcheck shell=bash

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
readonly root
readonly tools=$root/.tools
export UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=$root/backend/.venv

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "${0##*/}: $*"
  exit 1
}

suits() {  # PYTHON LAST: is this CPython at least 3.11, and at most 3.LAST?
  command -v "$1" >/dev/null 2>&1 &&
    "$1" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $2))" 2>/dev/null
}

find_python() {
  local candidate last=99
  # Without a redis-server on PATH, the one from a wheel is used; it exists up to Python 3.12.
  command -v redis-server >/dev/null 2>&1 || last=12
  for candidate in "${PYTHON:-python3}" python3.12 python3.11 python3.13 python3.14; do
    if suits "$candidate" "$last"; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  if suits "${PYTHON:-python3}" 99; then
    fail "redis-server is missing: install it (Debian: apt-get install redis-server;" \
      "macOS: brew install redis), or Python 3.11 or 3.12 on Linux x86-64, where it comes along"
  fi
  fail "Python 3.11 or newer is missing: install it (Debian: apt-get install python3 python3-venv)," \
    "or name one with PYTHON=…"
}

find_uv() {
  if command -v uv >/dev/null 2>&1; then
    command -v uv
    return
  fi
  if [[ ! -x $tools/bin/uv ]]; then
    say "installing uv into ${tools#"$root"/}"
    local log=$root/.tools.log
    if ! { "$1" -m venv "$tools" && "$tools/bin/python" -m pip install --quiet "uv>=0.8"; } >"$log" 2>&1; then
      rm -rf "$tools"
      say "$(tail -n 3 "$log")"
      fail "uv could not be installed (see above): is there a network, and does" \
        "'python3 -m venv' work (Debian: apt-get install python3-venv)?"
    fi
    rm -f "$log"
  fi
  printf '%s\n' "$tools/bin/uv"
}

make_environment() {  # [--frozen]: whatever pyproject.toml says; sets $python, its interpreter
  local base uv started=$SECONDS
  base=$(find_python)
  uv=$(find_uv "$base")
  say "preparing what backend/uv.lock says"
  local arguments=(sync --project "$root/backend" "${1:---locked}" --python "$base")
  if [[ -t 2 ]]; then
    "$uv" "${arguments[@]}" || fail "the environment could not be made (see above): is there a network?"
  else
    "$uv" "${arguments[@]}" --quiet || fail "the environment could not be made (see above): is there a network?"
  fi
  export PATH=$UV_PROJECT_ENVIRONMENT/bin:$PATH
  # shellcheck disable=SC2034 # read by those who source this file
  python=$UV_PROJECT_ENVIRONMENT/bin/python
  say "ready in $((SECONDS - started)) s"
}

find_secrets() {  # KINGFISHER ARGUMENTS: nothing is validated or looked up, so nothing leaves this machine
  kingfisher --no-update-check scan --no-validate --rules-path "$root/scripts/lib/secrets.yml" \
    --skip-word development-only --redact --quiet "$@" || return 1
}
