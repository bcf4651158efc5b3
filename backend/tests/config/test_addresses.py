"""Whose request it is: what our proxy says of it, and nothing that a client says of itself."""

from ipaddress import ip_address
from typing import Any

import pytest
from django.test import RequestFactory

from config.addresses import client_address

NGINX = "172.18.0.5"
PERSON = "203.0.113.7"


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        (NGINX, PERSON, PERSON),
        (NGINX, f"198.51.100.1, {PERSON}", PERSON),
        (NGINX, f"{PERSON}, 10.0.0.1", "10.0.0.1"),
        (NGINX, None, NGINX),
        (NGINX, "", NGINX),
        (NGINX, "unknown", NGINX),
        (NGINX, f"{PERSON}, ", NGINX),
        (NGINX, f"{PERSON}:4711", NGINX),
        (NGINX, "2001:db8::7", "2001:db8::7"),
        (NGINX, f"::ffff:{PERSON}", PERSON),
        (f"::ffff:{NGINX}", PERSON, PERSON),
        ("::1", PERSON, PERSON),
        (PERSON, "198.51.100.1", PERSON),
        (PERSON, None, PERSON),
        (f"::ffff:{PERSON}", "198.51.100.1", PERSON),
        ("", PERSON, None),
    ],
)
def test_whose_request_it_is(peer: str, forwarded: str | None, found: str | None) -> None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=peer)
    assert client_address(request) == (found and ip_address(found))


def test_who_is_believed_is_configured(settings: Any) -> None:
    settings.PROXY_NETWORKS = ["198.51.100.0/24"]
    request = RequestFactory().get(
        "/", headers={"X-Forwarded-For": PERSON}, REMOTE_ADDR="198.51.100.9"
    )
    assert str(client_address(request)) == PERSON
    request.META["REMOTE_ADDR"] = NGINX
    assert str(client_address(request)) == NGINX
