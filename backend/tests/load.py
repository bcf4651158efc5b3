"""A steady load of requests, and what failed of it.

    python -m tests.load URL [--rate 50] [--seconds 20]

Half of the requests keep their connections, half open one each. Nothing is tried again.
"""

import argparse
import asyncio
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx

REQUEST_SECONDS = 40


@dataclass
class Outcome:
    served: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0

    def __str__(self) -> str:
        failed = ", ".join(f"{count} × {what}" for what, count in self.failures.most_common())
        total = self.served + self.failures.total()
        return (
            f"{total} requests, failed: {failed or 'none'}; the slowest took {self.slowest:.2f} s"
        )


class Load:
    """Requests at a steady rate, from another thread, until stopped."""

    def __init__(self, url: str, *, rate: int = 50) -> None:
        self.outcome = Outcome()
        self._url = url
        self._rate = rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """No more requests; returns when those under way have ended."""
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        under_way: set[asyncio.Task[None]] = set()
        async with self._client(keep=8) as kept, self._client(keep=0) as fresh:
            began, count = time.monotonic(), 0
            while not self._stop.is_set():
                task = asyncio.create_task(self._ask(kept if count % 2 else fresh))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                count += 1
                await asyncio.sleep(max(0.0, began + count / self._rate - time.monotonic()))
            await asyncio.gather(*under_way)

    @staticmethod
    def _client(*, keep: int) -> httpx.AsyncClient:
        limits = httpx.Limits(max_keepalive_connections=keep, max_connections=None)
        return httpx.AsyncClient(timeout=REQUEST_SECONDS, limits=limits)

    async def _ask(self, client: httpx.AsyncClient) -> None:
        began = time.monotonic()
        try:
            answer = await client.get(self._url)
        except httpx.HTTPError as error:
            self.outcome.failures[type(error).__name__] += 1
        else:
            if answer.status_code == 200:
                self.outcome.served += 1
            else:
                self.outcome.failures[str(answer.status_code)] += 1
        self.outcome.slowest = max(self.outcome.slowest, time.monotonic() - began)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rate", type=int, default=50, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with Load(options.url, rate=options.rate) as load:
        time.sleep(options.seconds)
    print(load.outcome)
    return int(bool(load.outcome.failures))


if __name__ == "__main__":
    sys.exit(main())
