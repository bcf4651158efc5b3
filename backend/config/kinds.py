"""The kinds of values that a variable of the environment can take; each refuses by saying which."""

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

Value = bool | int | float | str | tuple[str, ...]


class Invalid(ValueError):
    """What a variable takes, said to the person who set it."""


def flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise Invalid("takes 0 or 1")
    return text == "1"


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?(0|[1-9][0-9]{0,11})", text) or not low <= int(text) <= high:
            raise Invalid(f"takes a whole number from {low} to {high}")
        return int(text)

    return parse


def string(
    pattern: str = r"\S(.*\S)?", takes: str = "takes a text without spaces around it"
) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise Invalid(takes)
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
            raise Invalid("takes the value without quotes around it")
        return text

    return parse


def choice(*options: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in options:
            raise Invalid(f"takes one of {', '.join(options)}")
        return text

    return parse


def names(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if any(not re.fullmatch(r"\S+", part) for part in parts):
        raise Invalid("takes names separated by commas, without spaces")
    return parts


def url(pattern: str, takes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
            sound = bool(parts.hostname) and parts.port != 0  # both may raise as well
        except ValueError:
            sound = False
        if not sound or not re.fullmatch(pattern, text):
            raise Invalid(takes)
        return text

    return parse


HOST = re.compile(r"\*|\.?[a-z0-9*]([a-z0-9.*-]*[a-z0-9])?|\[[0-9a-f:]+\]", re.IGNORECASE)


def chat_ids(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if not all(re.fullmatch(r"-?[1-9][0-9]{0,15}", part) for part in parts):
        raise Invalid("takes Telegram's numbers of chats, separated by commas, without spaces")
    return parts


def hosts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if not all(HOST.fullmatch(part) for part in parts):
        raise Invalid("takes host names separated by commas, without spaces: eatfit24.example")
    return parts


def networks(text: str) -> tuple[str, ...]:
    for part in (parts := names(text)):
        try:
            ipaddress.ip_network(part)
        except ValueError:
            raise Invalid("takes networks such as 10.0.0.0/8, separated by commas") from None
    return parts


def address(text: str) -> str:
    """One of this machine's, as Compose takes it: IPv6 in brackets."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    kind = ipaddress.IPv4Address if bare == text else ipaddress.IPv6Address
    try:
        kind(bare)
    except ValueError:
        raise Invalid("takes an address such as 127.0.0.1 or [::1]") from None
    return text


http_origin = url(
    r"https?://[^\s/?#@\\]+", "takes an address such as https://eatfit24.example, without a path"
)
http_address = url(
    r"https?://[^\s?#@\\]+", "takes an address such as https://api.example/v3, without a query"
)
redis_url = url(
    r"rediss?://[^\s/?#]+/[0-9]{1,5}(\?\S+)?",
    "takes an address such as redis://redis:6379/1, with a database number",
)
PORT = integer(1, 65535)
DATABASE_NAME = string(r"[a-z_][a-z0-9_]{0,62}", "takes a name of lower-case letters, digits and _")
DIRECTORY = string(r"/\S*", "takes an absolute path")
