# Which release runs, and how another one takes its place. Sourced after lib/operator.sh.
# shellcheck shell=bash disable=SC2034,SC2154 # read by, and set by, those who source this file
#
# Two backends stand beside each other while the frontend moves over; one is called backend-a, the
# other backend-b. The frontend asks the one whose letter is a file in .state/frontend, and without
# a file whoever is called `backend`.
# .state/releases is the history, .state/deploying is there while a change is under way.

unset RELEASE # .env names it; compose_as says otherwise for one command
project=$(setting COMPOSE_PROJECT_NAME eatfit24)
current=$(setting RELEASE dev)
repository=$(setting IMAGE_REPOSITORY "$project-backend")
readonly project repository
readonly WORKERS=(celery-worker celery-worker-billing celery-beat)
readonly HEALTHY_WITHIN=180 DRAIN_SECONDS=45 IN_FLIGHT_SECONDS=2 KEPT_RELEASES=3

compose_as() { # RELEASE ARGUMENTS…: docker compose as if .env named that release
  RELEASE=$1 compose "${@:2}"
}

have_image() { docker image inspect "$repository:$1" >/dev/null 2>&1; }

backends() { # running ones: name and release
  docker ps --filter "label=com.docker.compose.project=$project" \
    --filter label=com.docker.compose.service=backend \
    --filter label=com.docker.compose.oneoff=False --format '{{.Names}} {{.Image}}' |
    sed "s| .*:| |" | sort
}

backend_of() { # RELEASE: the name of its backend, if one runs
  backends | awk -v release="$1" '$2 == release { print $1 }' | tail -n 1
}

running_as() { # RELEASE SERVICE: the container that is just as the Compose files and .env say now, if one runs
  local hash
  hash=$(compose_as "$1" config --hash "$2")
  docker ps --filter "label=com.docker.compose.project=$project" \
    --filter "label=com.docker.compose.service=$2" \
    --filter label=com.docker.compose.oneoff=False \
    --filter "label=com.docker.compose.config-hash=${hash##* }" --format '{{.Names}}' | tail -n 1
}

manage_as() { # RELEASE COMMAND…: manage.py of that release, in a container of its own
  compose_as "$1" run --rm --no-deps -T --env RUN_MIGRATIONS=0 backend python manage.py "${@:2}"
}

last_words() { # CONTAINER
  docker logs --tail 8 "$1" 2>&1 | cut -c 1-500 >&2
}

start_backend() { # RELEASE: beside those that run; sets $started to its name once it is good
  local release=$1 count deadline health
  started=$(running_as "$release" backend)
  if [[ -z $started ]]; then
    docker ps --all --quiet --filter "label=com.docker.compose.project=$project" \
      --filter label=com.docker.compose.service=backend --filter status=exited --filter status=created |
      xargs --no-run-if-empty docker rm >/dev/null
    count=$(backends | wc -l)
    hold_frontend
    compose_as "$release" up --detach --no-recreate --no-build --scale backend=$((count + 1)) backend
    started=$(running_as "$release" backend)
    [[ -n $started ]] || { warn "the backend of $release did not start"; return 1; }
  fi
  deadline=$((SECONDS + HEALTHY_WITHIN))
  until health=$(docker inspect --format '{{.State.Health.Status}} {{.RestartCount}}' "$started"); [[ $health == healthy* ]]; do
    if [[ $health != *" 0" || $health == unhealthy* || $SECONDS -gt $deadline ]]; then
      warn "$started is not healthy ($health); its last words:"
      last_words "$started"
      return 1
    fi
    sleep 0.5
  done
  answers_well "$started"
}

answers_well() { # BACKEND: asked as people's requests will ask it, before any of them reaches it
  local path host
  host=$(setting ALLOWED_HOSTS)
  for path in /health/ /api/v1/health/ /app; do
    compose exec -T frontend curl -fsS -m 10 -o /dev/null -H "Host: ${host%%,*}" \
      -H 'X-Forwarded-Proto: https' "http://$1:8000$path" </dev/null || {
      warn "$1 answers $path wrongly; its last words:"
      last_words "$1"
      return 1
    }
  done
}

letter_of() { # BACKEND: a, b, or nothing
  docker inspect --format "{{with (index .NetworkSettings.Networks \"${project}_handover\")}}{{.Aliases}}{{end}}" "$1" |
    grep -o 'backend-[ab]' | cut -d - -f 2 || true
}

give_letter() { # BACKEND: the one that nobody else has; whatever it serves goes on
  local name _ letters=''
  [[ -z $(letter_of "$1") ]] || return 0
  while read -r name _; do letters+=$(letter_of "$name"); done < <(backends)
  docker network disconnect "${project}_handover" "$1" 2>/dev/null || true
  docker network connect --alias "backend-$([[ $letters == *a* ]] && echo b || echo a)" "${project}_handover" "$1"
}

hold_frontend() { # at whoever serves now: another one is called backend too, before it is ready
  local serving
  serving=$(backend_of "$current")
  if [[ -n $serving && ! -e $state/frontend/a && ! -e $state/frontend/b ]]; then
    point_frontend_at "$serving"
  fi
}

# shellcheck disable=SC2120 # its argument may be left out
point_frontend_at() { # BACKEND, or nothing for whoever is called backend
  local directory=$state/frontend letter=''
  mkdir -p "$directory"
  chmod 755 "$state" "$directory"
  if [[ -n ${1:-} ]]; then
    give_letter "$1"
    letter=$(letter_of "$1")
    touch "$directory/$letter"
  fi
  find "$directory" -name '[ab]' ! -name "$letter" -delete
  sleep "$IN_FLIGHT_SECONDS"
}

remove_backends_but() { # BACKEND, which must be there
  local name _
  [[ -n ${1:-} ]] || return 0
  while read -r name _; do
    [[ $name == "$1" ]] || { docker stop --time "$DRAIN_SECONDS" "$name" && docker rm "$name"; } >/dev/null
  done < <(backends)
}

move_workers_to() { # RELEASE: one after the other; each ends its jobs first
  local service
  manage_as "$1" release "$1" >/dev/null
  for service in "${WORKERS[@]}"; do replace_worker "$1" "$service" || return 1; done
}

replace_worker() { # RELEASE SERVICE
  # Not "up" over the old one: that would look at what it depends on, or (--no-deps) forget it.
  compose rm --stop --force "$2"
  compose_as "$1" up --detach --no-recreate --no-build --wait --wait-timeout "$HEALTHY_WITHIN" "$2" || {
    warn "$2 of $1 does not become healthy"
    last_words "$(compose ps --all --quiet "$2")"
    return 1
  }
}

settle() { # BACKEND: it alone stays, and is called backend; all is as .env says
  remove_backends_but "$1"
  # shellcheck disable=SC2119
  point_frontend_at
  compose up --detach --no-build --wait
}

settle_on() { # RELEASE, BACKEND: from here on `docker compose up -d` means this release
  {
    sed "s/^[[:space:]]*RELEASE=.*/RELEASE=$1/" .env
    grep -q '^[[:space:]]*RELEASE=' .env || echo "RELEASE=$1"
  } | replace_file .env
  settle "$2"
  printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" >>"$state/releases"
  rm -f "$state/deploying"
}

recent_releases() { # the newest first, each once
  tac "$state/releases" 2>/dev/null | awk '!seen[$2]++ { print $2 }'
}

remove_old_images() {
  local release kept
  kept=$(recent_releases | head -n "$KEPT_RELEASES")
  while read -r release; do
    if ! grep -qx -- "$release" <<<"$kept"$'\n'"$(setting RELEASE)"; then
      docker image rm "$repository:$release" >/dev/null 2>&1 || true
    fi
  done < <(recent_releases)
}
