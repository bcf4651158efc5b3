"""How fast we may speak, kept in Redis for all workers together.

Telegram takes about 30 messages a second from a bot and 1 a second in a chat, and says 429 when
it wants less. Turns are given one at a time, 40 ms apart: 25 a second, so that some calls that
bunch on their way do not make it more than 30. A chat is held while a message to it is under way
and for a second after the answer.

Who gets no turn is told when to come back, each another moment, so that ten thousand who wait
do not come all at once. The next 20 s are given to whoever asks; only when they are full one is
told a later moment, so an answer to somebody waits for seconds even while a broadcast goes out.

A Telegram that fails is asked by one message at a time, with growing pauses: it costs the
workers one slot and not all. Without Redis nobody speaks; the messages wait.
"""

from datetime import timedelta
from functools import cache
from typing import Any

import redis

from apps.jobs import broker

SPACING_MS = 40
CHAT_MS = 1000
NEAR_MS = 20_000
UNDER_WAY_MS = 30_000
"""Longer than a call takes: how long a chat waits for a worker that died in the middle."""
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 1000, 60_000
WITHOUT_REDIS = timedelta(seconds=5)

_PREFIX = "eatfit24:telegram:"
# Each key is there for as long as something lasts: no clock is read, and what is over is gone.
_TURN = f"{_PREFIX}turn"  # until the next message may go
_NEAR = f"{_PREFIX}near"  # until the end of the queue
_FAR = f"{_PREFIX}far"  # until the end of the queue behind that one
_FAILING = f"{_PREFIX}failing"  # counts failures in a row
_TOLD = f"{_PREFIX}told"  # the chat that was last told to wait, as long as it has to

_ASK = """
local turn, near, far, failing, chat = unpack(KEYS)
local spacing, horizon, under_way = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('PTTL', chat)
if held > 0 then return held end
local wait = redis.call('PTTL', turn)
if wait <= 0 then
  local failures = redis.call('EXISTS', failing)
  redis.call('SET', turn, 1, 'PX', failures == 1 and under_way or spacing)
  redis.call('SET', chat, 1, 'PX', under_way)
  return 0
end
local queue = near
local place = math.max(wait, redis.call('PTTL', near)) + spacing
if place > horizon then
  queue = far
  place = math.max(wait, horizon, redis.call('PTTL', far)) + spacing
end
redis.call('SET', queue, 1, 'PX', place)
return place
"""

_ANSWERED = """
local turn, failing, chat = unpack(KEYS)
redis.call('SET', chat, 1, 'PX', ARGV[1])
if redis.call('DEL', failing) == 1 then redis.call('DEL', turn) end
"""

_FAILED = """
local turn, failing, chat = unpack(KEYS)
local first, longest = tonumber(ARGV[1]), tonumber(ARGV[2])
local failures = redis.call('INCR', failing)
redis.call('PEXPIRE', failing, longest * 10)
redis.call('SET', turn, 1, 'PX', math.min(first * 2 ^ math.min(failures - 1, 16), longest))
redis.call('DEL', chat)
"""

_TOLD_TO_WAIT = """
local turn, told, chat = unpack(KEYS)
redis.call('SET', chat, 1, 'PX', ARGV[1])
local other = redis.call('GET', told)
if other and other ~= chat then redis.call('SET', turn, 1, 'PX', ARGV[1]) end
redis.call('SET', told, chat, 'PX', ARGV[1])
"""


def ask_for_turn(chat_id: int) -> timedelta:
    """Zero: speak now, and then say how it went. Else: come back after so long."""
    keys = [_TURN, _NEAR, _FAR, _FAILING, _chat(chat_id)]
    wait = _run(_ASK, keys, SPACING_MS, NEAR_MS, UNDER_WAY_MS)
    return WITHOUT_REDIS if wait is None else timedelta(milliseconds=int(wait))


def note_answer(chat_id: int) -> None:
    """Telegram answered, be it by a refusal: the chat's second begins."""
    _run(_ANSWERED, [_TURN, _FAILING, _chat(chat_id)], CHAT_MS)


def note_failure(chat_id: int) -> None:
    """No sound answer: everybody pauses, and longer with each failure in a row."""
    _run(_FAILED, [_TURN, _FAILING, _chat(chat_id)], FIRST_PAUSE_MS, LONGEST_PAUSE_MS)


def note_wish_to_wait(chat_id: int, seconds: float) -> None:
    """A 429. It holds the chat; told to a second chat meanwhile, it holds everybody."""
    _run(_TOLD_TO_WAIT, [_TURN, _TOLD, _chat(chat_id)], max(int(seconds * 1000), CHAT_MS))


def _chat(chat_id: int) -> str:
    return f"{_PREFIX}chat:{chat_id}"


def _run(script: str, keys: list[str], *arguments: int) -> Any:
    """What the script returns, or None where Redis is away: then what is held just ends."""
    if broker.is_silent():
        return None
    try:
        return _registered(script)(keys=keys, args=arguments)
    except redis.RedisError:
        broker.fall_silent()
        return None


@cache
def _registered(script: str) -> Any:
    return broker.client().register_script(script)
