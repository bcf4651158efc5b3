"""HTTP: receives requests, lets a service or a fault answer, writes everything down."""

import contextlib
import json
import os
import select
import socket
import struct
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from urllib.parse import parse_qsl, urlsplit

from sandbox.service import Ending, Reply, Request
from sandbox.world import World

LARGEST_BODY = 32 * 1024 * 1024


def content_of(reply: Reply) -> tuple[str, bytes]:
    """Media type and body of the answer."""
    if reply.html is not None:
        return "text/html; charset=utf-8", reply.html.encode()
    if reply.content is not None:
        return "application/octet-stream", reply.content
    body = b"" if reply.body is None else json.dumps(reply.body, ensure_ascii=False).encode()
    return "application/json", body


class Sandbox(ThreadingHTTPServer):
    """Listens once built; `serve_forever` answers, for a world of its own."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int) -> None:
        super().__init__((host, port), Handler)
        self.world = World()

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def server_bind(self) -> None:
        # HTTPServer asks the DNS for our name here, and may wait long for the answer.
        TCPServer.server_bind(self)


class Handler(BaseHTTPRequestHandler):
    server: Sandbox
    protocol_version = "HTTP/1.1"
    server_version = "sandbox"
    # Headers and body are two writes; together with delayed acknowledgement Nagle costs 40 ms.
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Says nothing: the journal holds every request. Errors still go to stderr."""

    def _answer(self) -> None:
        request = self._read_request()
        if request is None:
            return
        exchange = self.server.world.answer(request)
        reply = exchange.reply
        client_left = self._wait(reply.delay)
        if client_left or reply.ending is Ending.SILENCE:
            self.close_connection = True
        elif reply.ending is Ending.RESET:
            self._reset()
        else:
            exchange.answered()
            self._send(reply)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    def _read_request(self) -> Request | None:
        """The whole request; None where it was refused for its length."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.send_error(411)
            return None
        if int(length) > LARGEST_BODY:
            self.send_error(413)
            return None
        address = urlsplit(self.path)
        return Request(
            method=self.command,
            path=address.path,
            query=dict(parse_qsl(address.query)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(length)),
        )

    def _send(self, reply: Reply) -> None:
        content_type, body = content_of(reply)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if reply.ending is Ending.CUT_OFF:
            self.close_connection = True
            body = body[: len(body) // 2]
        if not reply.drip:
            self.wfile.write(body)
            return
        for position in range(len(body)):
            self.wfile.write(body[position : position + 1])
            if self._wait(reply.drip):
                self.close_connection = True
                return

    def _wait(self, seconds: float) -> bool:
        """Let the time pass; True as soon as the client has gone away."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([self.connection], [], [], left)
            if not readable:
                continue
            try:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    return True
            except ConnectionError:
                return True
            time.sleep(min(left, 0.1))  # a pipelined request waits; do not spin on it
        return False

    def _reset(self) -> None:
        """Close with a TCP RST, as a crashed peer or a firewall does."""
        # Lingering for zero seconds makes close() reset. The descriptor is closed by hand,
        # since the server would say an orderly goodbye (FIN) first.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True
