"""The sandbox without sockets, for tests of thousands of calls: an httpx transport.

Time-outs come at once instead of after their seconds, as the client would see them. So that
notifications need no socket either, hand the provider what takes them:

    till = YooKassa(deliver=lambda body: post_to_our_backend(body).status_code)
    transport = InProcess(World([lambda: build_service(till)]))
"""

import httpx

from sandbox.server import content_of
from sandbox.service import Ending, Request
from sandbox.world import World


class InProcess(httpx.BaseTransport):
    """Answers in the caller's thread. Any host will do in an address."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        exchange = self.world.answer(
            Request(
                method=request.method,
                path=request.url.path,
                query=dict(request.url.params),
                headers=dict(request.headers),
                body=request.read(),
            )
        )
        reply = exchange.reply
        patience = request.extensions.get("timeout", {}).get("read")
        if reply.ending is Ending.SILENCE or (patience is not None and reply.delay > patience):
            raise httpx.ReadTimeout("ordered by a test", request=request)
        if reply.ending is Ending.RESET:
            raise httpx.ReadError("ordered by a test", request=request)
        exchange.answered()
        if reply.ending is Ending.CUT_OFF:
            raise httpx.RemoteProtocolError("ordered by a test", request=request)
        content_type, content = content_of(reply)
        headers = {"Content-Type": content_type, **reply.headers}
        return httpx.Response(reply.status, headers=headers, content=content, request=request)
