"""How often somebody may: limits of the API, counted in Redis for all processes together.

Every route that changes something has `write_limit`, by `config.api`; a route or router that
names another `throttle` has that instead (`throttle=[]`: none). Counts share the broker's Redis
database, each key expiring by itself, so there is nothing more to configure or to fill up. While
Redis is away everybody is served: a limit protects us from haste, and is not worth refusing
people for.
"""

import logging
import threading
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network

import redis
from django.conf import settings
from django.http import HttpRequest
from ninja.throttling import BaseThrottle

from apps.jobs import broker
from config.addresses import client_address

logger = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# A token bucket in one number: when it will be full again (the generic cell rate algorithm,
# https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm). By Redis's clock, in µs, so that
# processes need not agree on the time; a script runs alone, so none can slip between.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local capacity, each = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + each
local wait = full_at - now - capacity * each
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
return 0
"""


@dataclass(frozen=True)
class Limit:
    """`requests` at once; they come back evenly, all of them within `seconds`."""

    name: str
    requests: int
    seconds: float


def take(limit: Limit, who: str) -> float:
    """Count one request of `who`; 0.0, or the seconds until it would be allowed.

    A refused one is not counted. Never raises: without Redis it is allowed.
    """
    if broker.is_silent():
        return 0.0
    each = round(limit.seconds * 1_000_000 / limit.requests)
    try:
        script = broker.client().register_script(_TAKE)
        wait = script([f"eatfit24:limit:{limit.name}:{who}"], [limit.requests, each])
    except (redis.RedisError, OSError) as error:
        broker.fall_silent()
        logger.warning("Redis away, nobody is limited", extra={"error": str(error)})
        return 0.0
    return int(wait) / 1_000_000


class _Throttle(BaseThrottle):
    """A limit of the settings, as a route takes it."""

    def __init__(self, name: str) -> None:
        self.name = name
        # One object serves all threads, and is asked for the wait after the refusal.
        self._refused = threading.local()

    def allow_request(self, request: HttpRequest) -> bool:
        limit = Limit(self.name, *settings.RATE_LIMITS[self.name])
        self._refused.wait = take(limit, self.who(request))
        return not self._refused.wait

    def wait(self) -> float | None:
        wait: float = self._refused.wait
        return wait

    def who(self, request: HttpRequest) -> str:
        """The client by address; of IPv6 the network, since one person has all of a /64."""
        address = client_address(request)
        if isinstance(address, IPv6Address):
            return str(ip_network((address, 64), strict=False))
        return str(address)


class _WriteThrottle(_Throttle):
    def allow_request(self, request: HttpRequest) -> bool:
        return request.method in SAFE_METHODS or super().allow_request(request)

    def who(self, request: HttpRequest) -> str:
        user = getattr(request, "auth", None)
        return f"user:{user.pk}" if user is not None else super().who(request)


login_limit = _Throttle("login")
write_limit = _WriteThrottle("write")
