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

from sandbox import effects, openrouter, telegram
from sandbox.control import build_control
from sandbox.faults import FaultBook
from sandbox.journal import Journal
from sandbox.service import Ending, Reply, Request, Service

BUILDERS = (openrouter.build_service, telegram.build_service, effects.build_service)
LARGEST_BODY = 32 * 1024 * 1024


class Sandbox(ThreadingHTTPServer):
    """Listens once built; `serve_forever` answers. Each has its own log, faults and services."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int) -> None:
        super().__init__((host, port), Handler)
        self.journal = Journal()
        self.services = tuple(build() for build in BUILDERS)
        self.faults = FaultBook(self.services)
        self.control = build_control(
            services=self.services, journal=self.journal, faults=self.faults
        )

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def server_bind(self) -> None:
        # HTTPServer asks the DNS for our name here, and may wait long for the answer.
        TCPServer.server_bind(self)

    def service_of(self, path: str) -> Service | None:
        return next((service for service in self.services if service.owns(path)), None)


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
        if self.server.control.owns(request.path):
            self._send(self.server.control.handle(request))
            return
        service = self.server.service_of(request.path)
        if service is None:
            self._send(Reply(status=404, body={"error": f"no service at {request.path}"}))
            return
        if service.is_aside(request.path):
            self._send(service.handle(request))
            return
        order = self.server.faults.take(service.name)
        entry = self.server.journal.record(
            service=service.name, request=request, fault=order.kind if order else None
        )
        heard = order is None or self.server.faults.kind_of(order).heard
        reply = service.handle(request) if heard else Reply()
        if order:
            reply = self.server.faults.apply(order, reply)
        client_left = self._wait(reply.delay)
        if client_left or reply.ending is Ending.SILENCE:
            self.close_connection = True
        elif reply.ending is Ending.RESET:
            self._reset()
        else:
            # Before it is sent: who has the answer may read the log at once.
            entry.status = reply.status
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
        content_type, body = "application/json", b""
        if reply.html is not None:
            content_type, body = "text/html; charset=utf-8", reply.html.encode()
        elif reply.content is not None:
            content_type, body = "application/octet-stream", reply.content
        elif reply.body is not None:
            body = json.dumps(reply.body, ensure_ascii=False).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

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
