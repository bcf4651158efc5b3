# Where secrets are kept, and who takes them. Sourced after lib/operator.sh.
# shellcheck shell=bash disable=SC2034,SC2154 # read by, and set by, those who source this file
#
# No secret is ever an argument of a process: values go by standard input, files of mode 0600, and
# bash's own functions.
#   .state/secrets/NAME          when it was last rotated
#   .state/secrets/NAME.next     a rotation is under way: the new value, how, and the one before
#   .state/secrets/NAME.former   what it was before, each on a line, until it was shown to be void

readonly secrets=$state/secrets
readonly ROLES=(eatfit24_a eatfit24_b) # take turns, see deploy/postgres/roles.sql

env_with() { # NAME=VALUE…: .env with these, each in its line or at the end
  local -A wanted=()
  local change line name
  for change in "$@"; do wanted[${change%%=*}]=${change#*=}; done
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ $line =~ ^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z0-9_]*)= ]]; then
      name=${BASH_REMATCH[2]}
      if [[ -n ${wanted[$name]+set} ]]; then
        line=$name=$(quoted "${wanted[$name]}")
        unset "wanted[$name]"
      fi
    fi
    printf '%s\n' "$line"
  done <.env
  for change in "$@"; do
    name=${change%%=*}
    [[ -z ${wanted[$name]:-} ]] || printf '%s=%s\n' "$name" "$(quoted "${wanted[$name]}")"
  done
}

quoted() { # VALUE without single quotes: as Compose reads it back
  if [[ $1 =~ ^[A-Za-z0-9_.:,/+=@%~-]*$ ]]; then printf '%s' "$1"; else printf "'%s'" "$1"; fi
}

keep() { # FILE LINE…: nobody else may read it
  mkdir -p "$secrets"
  chmod 700 "$secrets"
  (umask 077 && printf '%s\n' "${@:2}" | replace_file "$1")
}

as_superuser() { # < SQL: through the database container's own socket; nothing of it is logged
  {
    printf '%s\n' "SET log_statement = 'none'; SET log_min_error_statement = 'panic'; SET log_min_duration_statement = -1;"
    cat
  } | compose exec -T db psql -U postgres -X -q -tA -v ON_ERROR_STOP=1 -d postgres
}

other_role() { # ROLE: who takes the next turn
  if [[ $1 == "${ROLES[0]}" ]]; then echo "${ROLES[1]}"; else echo "${ROLES[0]}"; fi
}

open_role() { # ROLE PASSWORD, of letters and digits
  as_superuser <<<"ALTER ROLE $1 PASSWORD '$2'"
}

close_role() { # ROLE: nobody logs in as it any more, and nobody stays
  as_superuser >/dev/null <<SQL
ALTER ROLE $1 PASSWORD NULL;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '$1';
SQL
}

let_env_in() { # a database that was just made anew knows the first password alone, not a rotated one
  local role
  role=$(setting POSTGRES_USER "${ROLES[0]}")
  [[ -n $(setting POSTGRES_FIRST_PASSWORD) && " ${ROLES[*]} " == *" $role "* ]] || return 0
  open_role "$role" "$(setting POSTGRES_PASSWORD)"
  [[ -e $secrets/POSTGRES_PASSWORD.next ]] || close_role "$(other_role "$role")"
}
