#!/bin/sh
# What nginx's own language cannot read: the list in TRUSTED_PROXIES, and whether a certificate is there.
set -eu

certificates=${CERTIFICATES:-/etc/nginx/tls}
target=${TARGET:-/tmp/nginx}
networks=$(echo "${TRUSTED_PROXIES:-}" | tr ',' ' ')

mkdir -p "$target"
{
  for network in $networks; do echo "set_real_ip_from $network;"; done
  # shellcheck disable=SC2016 # nginx's own variables
  echo 'geo $realip_remote_addr $trusted_peer { default 0;'
  for network in $networks; do echo "$network 1;"; done
  echo '}'
} >"$target/trusted-proxies.conf"

if [ -e "$certificates/fullchain.pem" ]; then
  cat >"$target/listen.conf" <<TLS
listen 8080 ssl;
listen [::]:8080 ssl;
http2 on;
ssl_certificate $certificates/fullchain.pem;
ssl_certificate_key $certificates/privkey.pem;
ssl_protocols TLSv1.2 TLSv1.3;
ssl_session_cache shared:tls:4m;
ssl_session_tickets off;
error_page 497 301 =307 https://\$http_host\$request_uri;  # plain HTTP on this port
TLS
else
  printf 'listen 8080;\nlisten [::]:8080;\n' >"$target/listen.conf"
fi
