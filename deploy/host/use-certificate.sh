#!/usr/bin/env bash
# certbot's deploy hook: the renewed certificate to where the frontend may read it.
#
#   use-certificate.sh        RENEWED_LINEAGE is set by certbot
set -euo pipefail

: "${RENEWED_LINEAGE:?is set by certbot: the directory of the certificate}"
project=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
target=${TLS_TARGET:-/etc/eatfit24/tls}

install -d -m 700 -o 101 -g 101 "$target"
install -m 400 -o 101 -g 101 "$RENEWED_LINEAGE/fullchain.pem" "$RENEWED_LINEAGE/privkey.pem" "$target"
cd "$project"
if [[ -n $(docker compose ps --quiet frontend 2>/dev/null) ]]; then
  docker compose exec -T frontend nginx -c /etc/nginx/eatfit24/nginx.conf -s reload
fi
