"""Who is at the other end of a request, past the proxy in front of us."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address


def client_address(request: HttpRequest) -> Address | None:
    """The client's address; None where the server listens on a socket without one.

    X-Forwarded-For is believed from PROXY_NETWORKS alone, and of it the last hop alone: that is
    what our nginx wrote; whatever stands before it a client may have made up.
    """
    peer = _read(request.META.get("REMOTE_ADDR", ""))
    if peer is None or not _is_proxy(peer):
        return peer
    return _read(request.headers.get("X-Forwarded-For", "").rpartition(",")[2]) or peer


def _read(text: str) -> Address | None:
    """The address, an IPv4 one as such even where it came dressed as IPv6."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


def _is_proxy(address: Address) -> bool:
    return any(address in ip_network(network) for network in settings.PROXY_NETWORKS)
